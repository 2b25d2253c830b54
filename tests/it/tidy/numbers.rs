//! Prints the size and the layering of the tree, counted with the code of the rules: `make house`. The variable
//! `SSE_LAB_HOUSE_ROOT` names another checkout to count. Read [`house_in_numbers`] first.

use std::collections::BTreeMap;

use super::{
    docs::Doc,
    files::TestFiles,
    graph::Graph,
    house::sources,
    imports::{Module, Modules},
    source::Source,
    tokens::{is_word, item_end, words_at},
    wings::{WINGS, floor},
};

const IMPORTS_COUNTED: &str = "
Imports of production code; a re-export counts as the module that defines the name.
Rooms: files and folders directly within; mod.rs is one if it has items of its own.
Arrows: pairs of rooms of which one imports the other.
Up: arrows against the order in tests/it/tidy/wings.rs. Where there is none that names all rooms, the smallest number
that any order of the rooms has (least).
Floors: each room stands right above all that it imports, without the arrows up of one such order.
Circles: largest groups of rooms that all import each other, directly or through others.
";

const LINES_COUNTED: &str = "
Production, tests: lines that are neither blank nor only a comment.
Stub docs: doc comments of one or two words, or of their item's words only, tests included.
Longest file and function: of production code, all lines counted.
";

/// Numbers of lines that are neither blank nor only a comment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lines {
    production: usize,
    tests: usize,
}

impl Lines {
    fn of(source: &Source, is_test: bool) -> Self {
        let mut hidden = vec![false; source.text.len()];
        source.comments.iter().for_each(|comment| hidden[comment.clone()].fill(true));
        let mut in_tests = vec![is_test; source.text.len()];
        source.tests().into_iter().for_each(|tests| in_tests[tests].fill(true));
        let mut lines = Self::default();
        let mut at = 0;
        for line in source.text.split_inclusive('\n') {
            let shown = line.char_indices().find(|(start, c)| !c.is_whitespace() && !hidden[at + start]);
            match shown {
                Some((start, _)) if in_tests[at + start] => lines.tests += 1,
                Some(_) => lines.production += 1,
                None => {}
            }
            at += line.len();
        }
        lines
    }
}

/// The sums of one room, or of the whole tree.
#[derive(Debug, Default)]
struct Sum {
    files: usize,
    lines: Lines,
    stubs: usize,
    /// Its number of lines, with blank ones and comments, and its path.
    longest_file: (usize, String),
    longest_function: (usize, String),
}

impl Sum {
    fn of(source: &Source, is_test: bool) -> Self {
        let stubs = Doc::all(source).iter().filter(|doc| doc.is_stub()).count();
        let mut sum = Self { files: 1, lines: Lines::of(source, is_test), stubs, ..Self::default() };
        if !is_test {
            sum.longest_file = (source.without_tests().0.lines().count(), source.path.clone());
            sum.longest_function = functions(source).into_iter().max().unwrap_or_default();
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.lines.production += other.lines.production;
        self.lines.tests += other.lines.tests;
        self.stubs += other.stubs;
        self.longest_file = other.longest_file.clone().max(std::mem::take(&mut self.longest_file));
        self.longest_function =
            other.longest_function.clone().max(std::mem::take(&mut self.longest_function));
    }
}

/// The functions outside tests: number of lines, then path and line.
fn functions(source: &Source) -> Vec<(usize, String)> {
    let tests = source.tests();
    let starts = words_at(&source.code, "fn").filter(|at| !tests.iter().any(|tests| tests.contains(at)));
    let named = starts.filter(|at| source.code[at + "fn".len()..].trim_start().starts_with(is_word));
    let function = |at: usize| {
        let lines = source.code[at..at + item_end(&source.code[at..])].lines().count();
        (lines, format!("{}:{}", source.path, source.code[..at].matches('\n').count() + 1))
    };
    named.map(function).collect()
}

/// The room that a file counts for, and in `bench` and `tui` also the room directly within.
fn rooms_of(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else {
        return vec![source.path.split_once('/').map_or("", |(top, _)| top).to_owned()];
    };
    let module = source.module();
    let inner = module.get(1).filter(|_| WINGS.iter().any(|(base, _)| *base == room));
    [Some(room.to_owned()), inner.map(|inner| format!("{room}/{inner}"))].into_iter().flatten().collect()
}

/// `base` and all folders within it.
fn folders(modules: &Modules, base: &Module, found: &mut Vec<Module>) {
    found.push(base.clone());
    for child in modules.children(base) {
        let child = [&base[..], &[child.to_owned()]].concat();
        if !modules.children(&child).is_empty() {
            folders(modules, &child, found);
        }
    }
}

fn print_graphs(modules: &Modules) {
    println!("{IMPORTS_COUNTED}");
    println!(
        "{:<34}{:>7}{:>8}{:>8}{:>6}       {:>9}",
        "within src/", "rooms", "floors", "arrows", "up", "circles"
    );
    let mut all = Vec::new();
    for (wing, _) in WINGS {
        folders(modules, &vec![wing.to_owned()], &mut all);
    }
    for base in all {
        let graph = Graph::within(modules, &base);
        let order = WINGS.iter().find(|(wing, _)| base == [*wing]).map(|(_, order)| *order);
        let order = order.filter(|order| graph.rooms.iter().all(|room| floor(order, room).is_some()));
        let (up, how) = match order {
            Some(order) => (graph.up_in(|room| floor(order, room).unwrap_or_default()), "      "),
            None => (graph.up(), " least"),
        };
        let (rooms, circles) = (graph.rooms.len(), graph.circles().len());
        let (floors, arrows) = (graph.floors(), graph.arrows.len());
        println!("{:<34}{rooms:>7}{floors:>8}{arrows:>8}{up:>6}{how} {circles:>9}", base.join("/"));
    }
    for (wing, _) in WINGS {
        let base = vec![wing.to_owned()];
        let rooms = Graph::within(modules, &base);
        print_circles(&format!("rooms of {wing}"), &rooms.circles());
        let files = Graph::of_files(modules, &base);
        print_circles(&format!("{} files of {wing}", files.rooms.len()), &files.circles());
    }
}

fn print_circles(of: &str, circles: &[Vec<&str>]) {
    println!("\nCircles among the {of}: {}", circles.len());
    for circle in circles {
        println!("  {}", circle.join(" "));
    }
}

fn print_sums(sums: &BTreeMap<String, Sum>) {
    println!("{LINES_COUNTED}");
    println!("{:<22}{:>6}{:>12}{:>7}{:>11}", "", "files", "production", "tests", "stub docs");
    for (room, sum) in sums {
        let Sum { files, lines: Lines { production, tests }, stubs, .. } = sum;
        println!("{room:<22}{files:>6}{production:>12}{tests:>7}{stubs:>11}");
    }
    println!();
    for (room, sum) in sums.iter().filter(|(room, sum)| !room.contains('/') && sum.longest_file.0 > 0) {
        let ((lines, file), (length, function)) = (&sum.longest_file, &sum.longest_function);
        println!("{room:<10} longest file {lines:>4} {file}, longest function {length:>3} {function}");
    }
}

#[test]
fn house_in_numbers() {
    let sources = sources();
    let tests = TestFiles::of(&sources);
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for source in &sources {
        let is_test = !source.path.starts_with("src/") || tests.holds(source);
        let sum = Sum::of(source, is_test);
        for room in rooms_of(source).into_iter().chain(["all".to_owned()]) {
            sums.entry(room).or_default().add(&sum);
        }
    }
    print_graphs(&Modules::of(&sources, &[]));
    print_sums(&sums);
    assert_eq!(sums["all"].files, sources.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_code_are_counted_without_blank_ones_and_comments() {
        let text = "//! A file.\n\nfn f() { // why\n    let text = \"\n// no comment\n\n\";\n    /* a\n b */ }\n\
                    #[cfg(test)]\nmod tests {\n\n    fn g() {}\n}\n";
        let source = Source::new("src/node/x.rs", text);
        assert_eq!(Lines::of(&source, false), Lines { production: 5, tests: 4 });
        assert_eq!(Lines::of(&source, true), Lines { production: 0, tests: 9 });
    }

    #[test]
    fn the_longest_function_is_found() {
        let text = "fn f(g: fn(u8) -> u8) {\n\n}\nimpl A {\n    pub fn h() {}\n}\n#[cfg(test)]\nmod tests { fn i() {\n\n\n} }";
        let functions = functions(&Source::new("src/node/x.rs", text));
        assert_eq!(functions, [(3, "src/node/x.rs:1".to_owned()), (1, "src/node/x.rs:5".to_owned())]);
    }
}
