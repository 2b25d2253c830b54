//! Imports between modules, without those of tests. A re-export counts as the module that defines the name. Read
//! [`Import`] first.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    files::TestFiles,
    source::{Name, Source},
    tokens::{keyword, without_attributes},
};

/// Path of a module without the crate, such as `bench`, `report`.
pub(super) type Module = Vec<String>;

/// A place where one module names another.
#[derive(Debug)]
pub(super) struct Import {
    /// The importing file.
    pub(super) path: String,
    pub(super) from: Module,
    pub(super) to: Module,
    /// The path as written, but from the crate's root.
    pub(super) name: String,
}

/// The modules of the library that are compiled without tests, and the imports between them.
pub(super) struct Modules {
    pub(super) imports: Vec<Import>,
    pub(super) all: BTreeSet<Module>,
    /// Modules that hold only `mod` and `use`.
    pub(super) empty: BTreeSet<Module>,
    /// What `use` brings into a module: the module and the name there, and the path that it stands for.
    exports: BTreeMap<(Module, String), Module>,
}

impl Modules {
    /// `known` modules count as modules even if they have no file.
    pub(super) fn of(sources: &[Source], known: &[Module]) -> Self {
        let tests = TestFiles::of(sources);
        let files: Vec<_> = sources
            .iter()
            .filter(|source| source.room().is_some() && !tests.holds(source))
            .map(|source| (source, owned(&source.module()), source.without_tests().0))
            .collect();
        let all =
            files.iter().flat_map(|(_, module, _)| (1..=module.len()).map(|end| module[..end].to_vec()));
        let mut modules = Self {
            imports: Vec::new(),
            all: all.chain(known.iter().cloned()).collect(),
            empty: BTreeSet::new(),
            exports: BTreeMap::new(),
        };
        for (source, module, code) in &files {
            let code = Source::new(&source.path, code);
            let (uses, held): (Vec<_>, Vec<_>) = code
                .items()
                .into_iter()
                .map(|item| (keyword(without_attributes(item)), item))
                .filter(|(keyword, _)| *keyword != Some("mod"))
                .partition(|(keyword, _)| *keyword == Some("use"));
            if held.is_empty() {
                modules.empty.insert(module.clone());
            }
            let uses: String = uses.into_iter().map(|(_, item)| item).collect();
            for Name { path, shown } in source.named(&uses, &modules.children(module)) {
                modules.exports.insert((module.clone(), shown), path);
            }
        }
        for (source, module, code) in files {
            for Name { path, .. } in source.named(&code, &modules.children(&module)) {
                let to = modules.resolve(&path);
                let name = path.join("::");
                modules.imports.push(Import { path: source.path.clone(), from: module.clone(), to, name });
            }
        }
        modules
    }

    /// Names of the modules directly within `module`.
    pub(super) fn children(&self, module: &[String]) -> Vec<&str> {
        let within = self.all.iter().filter(|other| other.len() == module.len() + 1);
        within.filter(|other| other.starts_with(module)).map(|other| other[module.len()].as_str()).collect()
    }

    /// The module that defines the name at `path`.
    fn resolve(&self, path: &[String]) -> Module {
        let mut path = path.to_vec();
        // The limit ends re-exports in a circle, which do not compile anyway.
        for _ in 0..8 {
            let end = (0..=path.len()).rev().find(|end| self.all.contains(&path[..*end])).unwrap_or(0);
            let (module, rest) = path.split_at(end);
            let Some((first, behind)) = rest.split_first() else { return path };
            match self.exports.get(&(module.to_vec(), first.clone())) {
                Some(target) if *target != path => path = [&target[..], behind].concat(),
                _ => return module.to_vec(),
            }
        }
        path
    }
}

pub(super) fn owned(module: &[&str]) -> Module {
    module.iter().map(|segment| (*segment).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[(&str, &str)]) {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let modules = Modules::of(&sources, &[]);
        let imports = modules.imports.iter();
        let mut imports: Vec<_> =
            imports.map(|import| (import.from.join("::"), import.to.join("::"))).collect();
        imports.sort();
        let imports: Vec<_> = imports.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(imports, expected);
    }

    #[test]
    fn a_name_counts_as_what_it_stands_for() {
        let files = [
            ("src/a/mod.rs", "mod b;\nmod c;\npub use b::{B, deep::D as E};\n"),
            ("src/a/b/mod.rs", "mod deep;\npub use self::deep::B;\n"),
            ("src/a/b/deep.rs", "pub struct B;\npub struct D;\n"),
            ("src/a/c.rs", "use super::B;\nfn f() -> crate::a::E { super::b::g::<crate::a::x::Y>() }\n"),
        ];
        check(
            &files,
            &[
                ("a", "a::b::deep"),
                ("a", "a::b::deep"),
                ("a::b", "a::b::deep"),
                ("a::c", "a"),
                ("a::c", "a::b"),
                ("a::c", "a::b::deep"),
                ("a::c", "a::b::deep"),
            ],
        );
    }

    #[test]
    fn tests_and_docs_import_nothing() {
        let files = [
            ("src/a/mod.rs", "mod b;\nmod c;\n#[cfg(test)]\nmod tests;\n"),
            (
                "src/a/b.rs",
                "/// See [`super::c`].\nstruct B;\n#[cfg(test)]\nmod tests { use super::super::c::C; }\n",
            ),
            ("src/a/c.rs", "struct C;\n"),
            ("src/a/tests.rs", "use super::{b::B, c::C};\n"),
        ];
        check(&files, &[]);
    }
}
