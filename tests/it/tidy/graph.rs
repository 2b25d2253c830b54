//! Rooms and the imports between them: floors, circles, imports that run up. Read [`Graph`] first.

use std::collections::BTreeSet;

use super::imports::{Module, Modules};

/// Rooms of the largest circle that is put in order. Each more doubles time and memory.
const CIRCLE_MAX: usize = 20;

/// Rooms and the arrows between them. An arrow says that one room imports another, in however many places.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) rooms: Vec<String>,
    /// Pairs of the importing and the imported room.
    pub(super) arrows: BTreeSet<(usize, usize)>,
}

impl Graph {
    /// The modules directly within `base`. If `base` has items of its own, they are a room called `mod`.
    pub(super) fn within(modules: &Modules, base: &[String]) -> Self {
        let mut rooms: Vec<_> = modules.children(base).into_iter().map(str::to_owned).collect();
        if !modules.empty.contains(base) {
            rooms.push("mod".to_owned());
        }
        let room_of = |module: &Module| {
            let name = module.strip_prefix(base)?.first().map_or("mod", String::as_str);
            rooms.iter().position(|room| room == name)
        };
        let arrows = modules.arrows(room_of);
        Self { rooms, arrows }
    }

    /// All files within `base`, except those that hold only `mod` and `use`.
    pub(super) fn of_files(modules: &Modules, base: &[String]) -> Self {
        let files: Vec<_> = modules
            .all
            .iter()
            .filter(|module| module.starts_with(base) && !modules.empty.contains(*module))
            .collect();
        let arrows = modules.arrows(|module| files.binary_search(&module).ok());
        Self { rooms: files.iter().map(|module| module.join("::")).collect(), arrows }
    }

    /// The rooms that a room imports, directly or through others.
    fn reached(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut left = vec![from];
        while let Some(room) = left.pop() {
            for (_, to) in self.arrows.range((room, 0)..(room + 1, 0)) {
                if reached.insert(*to) {
                    left.push(*to);
                }
            }
        }
        reached
    }

    /// The circles, and each other room alone. A group comes after all groups that it imports.
    fn groups(&self) -> Vec<Vec<usize>> {
        let reached: Vec<_> = (0..self.rooms.len()).map(|room| self.reached(room)).collect();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for room in 0..self.rooms.len() {
            let group = groups
                .iter_mut()
                .find(|group| reached[room].contains(&group[0]) && reached[group[0]].contains(&room));
            match group {
                Some(group) => group.push(room),
                None => groups.push(vec![room]),
            }
        }
        groups.sort_by_key(|group| reached[group[0]].iter().filter(|room| !group.contains(room)).count());
        groups
    }

    pub(super) fn circles(&self) -> Vec<Vec<&str>> {
        let circles = self.groups().into_iter().filter(|group| group.len() > 1);
        circles.map(|group| group.into_iter().map(|room| self.rooms[room].as_str()).collect()).collect()
    }

    /// Number of floors if each room stands right above all that it imports. Arrows that run up are left out.
    pub(super) fn floors(&self) -> usize {
        let mut floors = vec![0; self.rooms.len()];
        for room in self.order() {
            let below = self.arrows.range((room, 0)..(room + 1, 0)).map(|(_, to)| floors[*to]).max();
            floors[room] = below.unwrap_or(0) + 1;
        }
        floors.into_iter().max().unwrap_or(0)
    }

    /// The smallest number of arrows that run up, of all orders of the rooms.
    pub(super) fn up(&self) -> usize {
        let order = self.order();
        let place = |room: &usize| order.iter().position(|other| other == room);
        self.arrows.iter().filter(|(from, to)| place(from) < place(to)).count()
    }

    /// Number of arrows that do not lead to a lower floor.
    pub(super) fn up_in(&self, floor: impl Fn(&str) -> usize) -> usize {
        let floor = |room: &usize| floor(&self.rooms[*room]);
        self.arrows.iter().filter(|(from, to)| floor(from) <= floor(to)).count()
    }

    /// The rooms from bottom to top, in an order with the smallest number of arrows that run up.
    fn order(&self) -> Vec<usize> {
        self.groups().into_iter().flat_map(|group| self.order_within(&group)).collect()
    }

    /// Such an order of a circle. Of all orders of a set of rooms only the best one is kept, so the work grows with the
    /// number of sets and not of orders.
    fn order_within(&self, group: &[usize]) -> Vec<usize> {
        assert!(
            group.len() <= CIRCLE_MAX,
            "a circle has {} rooms, more than can be put in order",
            group.len()
        );
        let importers: Vec<usize> = group
            .iter()
            .map(|to| (0..group.len()).filter(|from| self.arrows.contains(&(group[*from], *to))))
            .map(|importers| importers.map(|from| 1 << from).sum())
            .collect();
        // For each set of rooms at the bottom: the smallest number of arrows that run up within it, and its top room.
        let mut least = vec![(u32::MAX, 0); 1 << group.len()];
        least[0] = (0, 0);
        for placed in 0..least.len() {
            for (room, importers) in importers.iter().enumerate().filter(|(room, _)| placed >> room & 1 == 0)
            {
                let up = least[placed].0 + (importers & placed).count_ones();
                let next = &mut least[placed | 1 << room];
                *next = (*next).min((up, room));
            }
        }
        let mut order = Vec::new();
        let mut placed = least.len() - 1;
        while placed != 0 {
            let top = least[placed].1;
            order.push(group[top]);
            placed &= !(1 << top);
        }
        order.reverse();
        order
    }
}

impl Modules {
    /// The imports as pairs of different rooms.
    fn arrows(&self, room_of: impl Fn(&Module) -> Option<usize>) -> BTreeSet<(usize, usize)> {
        let pairs =
            self.imports.iter().filter_map(|import| Some((room_of(&import.from)?, room_of(&import.to)?)));
        pairs.filter(|(from, to)| from != to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{imports::owned, source::Source},
        *,
    };

    fn graph(rooms: usize, arrows: &[(usize, usize)]) -> Graph {
        let rooms = (0..rooms).map(|room| room.to_string()).collect();
        Graph { rooms, arrows: arrows.iter().copied().collect() }
    }

    #[test]
    fn rooms_in_order_have_floors_and_no_circle() {
        let graph = graph(4, &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!((graph.floors(), graph.up(), graph.circles().len()), (3, 0, 0));
        assert_eq!(graph.up_in(|room| 9 - room.parse::<usize>().unwrap()), 0);
        assert_eq!(graph.up_in(|room| 9 - room.parse::<usize>().unwrap().min(1)), 1);
    }

    #[test]
    fn a_circle_is_cut_where_it_takes_the_fewest_arrows() {
        // 1 and 2 import 0, 0 imports 3, and 3 imports 1 and 2: without 0 to 3 there is no circle.
        let graph = graph(5, &[(1, 0), (2, 0), (0, 3), (3, 1), (3, 2), (4, 0)]);
        assert_eq!(graph.circles(), [["0", "1", "2", "3"]]);
        assert_eq!((graph.up(), graph.floors()), (1, 3));
    }

    #[test]
    fn two_circles_are_two() {
        let graph = graph(4, &[(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)]);
        assert_eq!(graph.circles(), [["2", "3"], ["0", "1"]]);
        assert_eq!(graph.up(), 2);
    }

    #[test]
    fn a_room_is_a_folder_with_all_in_it() {
        let sources = [
            ("src/a/mod.rs", "mod b;\nmod c;\nmod d;\n"),
            ("src/a/b/mod.rs", "mod x;\npub use x::X;\n"),
            ("src/a/b/x.rs", "use crate::a::c::C;\nuse super::y::Y;\npub struct X;\n"),
            ("src/a/b/y.rs", "use super::X;\npub struct Y;\n"),
            ("src/a/c.rs", "pub struct C;\n"),
            ("src/a/d.rs", "use super::b::X;\n"),
        ];
        let modules = Modules::of(&sources.map(|(path, text)| Source::new(path, text)), &[]);
        let rooms = Graph::within(&modules, &owned(&["a"]));
        assert_eq!(rooms.rooms, ["b", "c", "d"]);
        assert_eq!(rooms.arrows, [(0, 1), (2, 0)].into());
        let files = Graph::of_files(&modules, &owned(&["a"]));
        assert_eq!(files.circles(), [["a::b::x", "a::b::y"]]);
    }
}
