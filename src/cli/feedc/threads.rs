//! Threads: articles as a tree by their References (RFC 5537 s.3.4.4), and its branches as text.

use crate::client::OverviewRow;
use std::collections::HashMap;

/// Levels that are drawn; what is deeper stands as deep as the last one.
const DEPTH_SHOWN: usize = 24;

/// An article in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its index among the rows.
    pub(super) row: usize,
    /// How many articles are above it.
    pub(super) depth: usize,
    /// What is drawn before it.
    pub(super) branches: String,
    /// The article above it, an index among the rows.
    pub(super) parent: Option<usize>,
}

/// The rows in the order of the tree, by number within each level. An article's parent is the last of
/// its References that is among the rows.
pub(super) fn tree(rows: &[OverviewRow], unicode: bool) -> Vec<Place> {
    let parents = parents(rows);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut roots = Vec::new();
    for (row, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(row),
            None => roots.push(row),
        }
    }
    let by_number = |list: &mut Vec<usize>| list.sort_by_key(|row| rows[*row].number);
    by_number(&mut roots);
    children.iter_mut().for_each(by_number);
    let (go_on, blank) = if unicode { ("│ ", "  ") } else { ("| ", "  ") };
    let (middle, last, deeper) = if unicode { ("├─", "└─", "┄") } else { ("|-", "`-", "+") };
    let mut places = Vec::with_capacity(rows.len());
    // What is to be drawn next stands on top: the row, its depth, what its line begins with, and
    // whether it is the last of its siblings. No recursion: threads may be as deep as they like.
    let mut waiting: Vec<(usize, usize, String, bool)> =
        roots.into_iter().rev().map(|row| (row, 0, String::new(), true)).collect();
    while let Some((row, depth, before, is_last)) = waiting.pop() {
        let (branches, below) = match depth {
            0 => (String::new(), String::new()),
            1..=DEPTH_SHOWN => (
                format!("{before}{} ", if is_last { last } else { middle }),
                format!("{before}{} ", if is_last { blank } else { go_on }),
            ),
            _ => (format!("{before}{deeper} "), before),
        };
        let count = children[row].len();
        let below_each = children[row].iter().enumerate().rev();
        waiting.extend(below_each.map(|(at, child)| (*child, depth + 1, below.clone(), at + 1 == count)));
        places.push(Place { row, depth, branches, parent: parents[row] });
    }
    places
}

/// The parent of each row. References that lead in a circle lose one link.
fn parents(rows: &[OverviewRow]) -> Vec<Option<usize>> {
    let by_id: HashMap<&str, usize> =
        rows.iter().enumerate().map(|(at, row)| (row.id.as_str(), at)).collect();
    let mut parents: Vec<Option<usize>> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let mut known =
                row.references.split_ascii_whitespace().rev().filter_map(|id| by_id.get(id).copied());
            known.find(|parent| *parent != at)
        })
        .collect();
    // The round in which a row was passed on the way up; a row of the same round closes a circle.
    let mut passed = vec![0; rows.len()];
    for start in 0..rows.len() {
        let mut at = start;
        while passed[at] == 0 {
            passed[at] = start + 1;
            match parents[at] {
                Some(parent) if passed[parent] == start + 1 => parents[at] = None,
                Some(parent) => at = parent,
                None => {}
            }
        }
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, id: &str, references: &str) -> OverviewRow {
        let empty = String::new;
        OverviewRow {
            number,
            subject: empty(),
            from: empty(),
            date: empty(),
            id: id.to_owned(),
            references: references.to_owned(),
            bytes: 0,
            lines: 0,
        }
    }

    fn drawn(rows: &[OverviewRow], unicode: bool) -> Vec<String> {
        tree(rows, unicode).iter().map(|place| format!("{}{}", place.branches, rows[place.row].id)).collect()
    }

    #[test]
    fn followups_stand_below_what_they_answer() {
        let rows = [
            row(1, "<a>", ""),
            row(2, "<b>", "<a>"),
            row(3, "<c>", "<gone>"),
            row(4, "<d>", "<a> <b>"),
            row(5, "<e>", "<a>"),
            // Its own parent is not there, but the one above is.
            row(6, "<f>", "<a> <b> <gone>"),
            row(7, "<g>", "<c> <c2> <e>"),
        ];
        let unicode = ["<a>", "├─ <b>", "│  ├─ <d>", "│  └─ <f>", "└─ <e>", "   └─ <g>", "<c>"];
        assert_eq!(drawn(&rows, true), unicode);
        let ascii = ["<a>", "|- <b>", "|  |- <d>", "|  `- <f>", "`- <e>", "   `- <g>", "<c>"];
        assert_eq!(drawn(&rows, false), ascii);
    }

    #[test]
    fn a_followup_that_came_first_finds_its_place() {
        let rows = [row(1, "<b>", "<a>"), row(2, "<a>", "")];
        assert_eq!(drawn(&rows, true), ["<a>", "└─ <b>"]);
    }

    #[test]
    fn circles_and_depths_lose_nothing() {
        let circle = [row(1, "<a>", "<b>"), row(2, "<b>", "<c>"), row(3, "<c>", "<a>"), row(4, "<d>", "<d>")];
        assert_eq!(tree(&circle, true).len(), 4);
        let deep: Vec<OverviewRow> = (0..50_000)
            .map(|at: u64| row(at, &format!("<{at}>"), &format!("<{}>", at.wrapping_sub(1))))
            .collect();
        let places = tree(&deep, true);
        assert_eq!(places.len(), deep.len());
        assert!(places.iter().all(|place| place.branches.chars().count() <= 3 * (DEPTH_SHOWN + 1)));
        assert_eq!(places.last().map(|place| place.depth), Some(49_999));
    }
}
