//! Properties of frames of every size: nothing overlaps, no border is broken, no word is cut without a sign, and the
//! words that must be seen are seen. They hold for the sizes without snapshots. Read [`problems`] first.

use std::collections::BTreeSet;

use ratatui::layout::{Position, Rect, Size};

use super::frames::{drawn, resized, text};
use crate::tui::state::model::Model;
use crate::tui::view::layout;

/// A size at which no text has to be cut.
const AMPLE: (u16, u16) = (250, 100);

/// The problems of the frame of this size, in which these words must be seen.
pub(super) fn problems(model: &Model, size: (u16, u16), must: &[&str]) -> Vec<String> {
    let model = resized(model.clone(), size);
    let shown = text(drawn(&model, size).backend().buffer());
    let screen = Rect::from((Position::ORIGIN, Size::from(size)));
    let Some(shape) = layout::shape(screen) else {
        let (width, height) = (size.0, size.1);
        let sentence = format!(
            "sse-tui needs 40x10 cells, this terminal has {width}x{height}. Enlarge it, or press q to quit."
        );
        return missing(&shown, &[&sentence]);
    };
    let areas = layout::areas(shape, screen, &model);
    let mut parts = vec![areas.title, areas.totals, areas.footer];
    parts.extend(areas.tabs);
    parts.extend(areas.flash);
    parts.extend(areas.panes.iter().map(|(_, area)| *area));
    let mut problems = overlaps(&parts, screen);
    let mut check = |shown: &str| {
        problems.extend(missing(shown, must));
        problems.extend(cut_words(shown, &words_of(&model)));
    };
    if model.dialog.is_some() || model.is_help_open {
        match overlay(&shown) {
            Some(overlay) => check(&overlay),
            None => problems.push("the border of the overlay is broken".to_owned()),
        }
        return problems;
    }
    check(&shown);
    if !model.theme.glyphs().ascii {
        problems.extend(open_boxes(&shown));
    }
    let lines: Vec<_> = shown.lines().collect();
    problems.extend(missing(lines[0], &["sse-tui", "14:0"]));
    if model.prompt.is_none() {
        problems.extend(missing(lines[lines.len() - 1], &["? help", "q quit"]));
    }
    problems
}

/// Every word that the screen can show, from frames in which all of it has room.
fn words_of(model: &Model) -> BTreeSet<String> {
    let mut model = resized(model.clone(), AMPLE);
    let mut words = BTreeSet::new();
    let mut collect = |model: &Model| {
        let shown = text(drawn(model, AMPLE).backend().buffer());
        words.extend(words_in(&shown).map(str::to_owned));
    };
    collect(&model);
    model.is_zoomed = true;
    for pane in model.panes() {
        model.focus = *pane;
        collect(&model);
    }
    words
}

fn is_frame(c: char) -> bool {
    c.is_whitespace() || "│╭╮╰╯─|[]".contains(c)
}

fn words_in(shown: &str) -> impl Iterator<Item = &str> {
    shown.split(is_frame).filter(|word| word.chars().count() > 2 && word.contains(char::is_alphanumeric))
}

fn squeezed(shown: &str) -> String {
    shown.chars().filter(|c| !is_frame(*c)).collect()
}

fn overlaps(parts: &[Rect], screen: Rect) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if part.intersection(screen) != *part {
            problems.push(format!("{part:?} is beyond {screen:?}"));
        }
        for other in &parts[..index] {
            if part.intersects(*other) {
                problems.push(format!("{part:?} overlaps {other:?}"));
            }
        }
    }
    problems
}

fn missing(shown: &str, must: &[&str]) -> Vec<String> {
    let whole = squeezed(shown);
    let absent = must.iter().filter(|words| !whole.contains(&squeezed(words)));
    absent.map(|words| format!("{words:?} is not seen")).collect()
}

/// Words that are the beginning of a longer one, and whose rest does not follow in the next line.
fn cut_words(shown: &str, whole: &BTreeSet<String>) -> Vec<String> {
    let all = squeezed(shown);
    let longer = |word: &str| {
        whole
            .range(word.to_owned()..)
            .take_while(|other| other.starts_with(word))
            .find(|other| *other != word)
    };
    words_in(shown)
        .filter(|word| !whole.contains(*word))
        .filter_map(|word| Some((word, longer(word)?)))
        .filter(|(_, longer)| !all.contains(longer.as_str()))
        .map(|(word, longer)| format!("{word:?} is {longer:?} cut"))
        .collect()
}

fn cells(shown: &str) -> Vec<Vec<char>> {
    shown.lines().map(|line| line.chars().collect()).collect()
}

fn corners(lines: &[Vec<char>]) -> impl Iterator<Item = (usize, usize)> {
    lines
        .iter()
        .enumerate()
        .flat_map(|(y, line)| line.iter().enumerate().filter(|(_, c)| **c == '╭').map(move |(x, _)| (x, y)))
}

/// Boxes whose border something is drawn over.
fn open_boxes(shown: &str) -> Vec<String> {
    let lines = cells(shown);
    let open = corners(&lines).filter(|(x, y)| opposite(&lines, *x, *y).is_none());
    open.map(|(x, y)| format!("the box at column {x}, line {y} is open")).collect()
}

/// The right column and the last line of the box with this upper left corner; `None` when its border is broken.
fn opposite(lines: &[Vec<char>], left: usize, top: usize) -> Option<(usize, usize)> {
    let right = left + lines[top][left..].iter().position(|c| *c == '╮')?;
    for (y, line) in lines.iter().enumerate().skip(top + 1) {
        match (line.get(left)?, line.get(right)?) {
            ('│', '│') => {}
            ('╰', '╯') => return line[left + 1..right].iter().all(|c| *c == '─').then_some((right, y)),
            _ => return None,
        }
    }
    None
}

/// The text of the box in the middle of the screen.
fn overlay(shown: &str) -> Option<String> {
    let lines = cells(shown);
    let middle = (lines[0].len() / 2, lines.len() / 2);
    let boxes = corners(&lines).filter_map(|(x, y)| Some((x, y, opposite(&lines, x, y)?)));
    let mut covering = boxes.filter(|(left, top, (right, bottom))| {
        (*left..=*right).contains(&middle.0) && (*top..=*bottom).contains(&middle.1)
    });
    let (left, top, (right, bottom)) = covering.next()?;
    let rows = lines[top..=bottom].iter().map(|line| line[left..=right].iter().collect::<String>());
    Some(rows.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_frame_that_is_wrong_is_caught() {
    let screen = Rect { x: 0, y: 0, width: 20, height: 4 };
    let row = |y, height| Rect { y, height, ..screen };
    assert_eq!(overlaps(&[row(0, 1), row(1, 3)], screen), [""; 0]);
    assert_eq!(overlaps(&[row(0, 2), row(1, 3)], screen).len(), 1, "one over the other");
    assert_eq!(overlaps(&[row(3, 2)], screen).len(), 1, "beyond the end");
    let good = "╭ Nodes ─╮\n│node-10 │\n│ DRAINI…│\n╰────────╯";
    let whole = ["Nodes", "node-10", "DRAINING"].map(str::to_owned).into();
    assert_eq!(open_boxes(good), [""; 0]);
    assert_eq!(cut_words(good, &whole), [""; 0]);
    assert_eq!(missing(good, &["Nodes", "node-10"]), [""; 0]);
    assert_eq!(missing(good, &["node-2"]).len(), 1);
    let bad = "╭ Nodes ─╮\n│ DRAINING\n│ node-1 │\n╰────────╯";
    assert_eq!(open_boxes(bad).len(), 1, "a border is drawn over");
    assert_eq!(cut_words(bad, &whole), ["\"node-1\" is \"node-10\" cut"]);
    assert_eq!(overlay(bad), None);
    assert_eq!(overlay(good).as_deref(), Some(good));
    let wrapped = "│ DRAI│\n│ NING│";
    assert_eq!(cut_words(wrapped, &whole), [""; 0], "the rest is in the next line");
}
