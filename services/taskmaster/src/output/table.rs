//! Tables for people: aligned columns without lines, the last one cut at the edge of a terminal.

use std::borrow::Cow;

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

use super::Terminal;

const GAP: &str = "  ";
/// The last column keeps at least so much of a narrow terminal.
const LEAST: usize = 10;

/// Rows below a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column heads.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: as many cells as there are columns. What comes from users goes through [`one_line`] first.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it, to the width of the terminal, or whole where there is none.
    ///
    /// # Errors
    /// As [`Terminal::line`].
    pub(crate) fn print(self, terminal: &mut Terminal) -> anyhow::Result<()> {
        let width = Term::stdout()
            .size_checked()
            .map(|(_, columns)| usize::from(columns));
        let mut lines = self.lines(width).into_iter();
        if let Some(head) = lines.next() {
            terminal.line(style(head).bold())?;
        }
        lines.try_for_each(|line| terminal.line(line))
    }

    fn lines(self, width: Option<usize>) -> Vec<String> {
        let mut widths: Vec<usize> = self
            .head
            .iter()
            .map(|name| measure_text_width(name))
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        let Some(last) = widths.len().checked_sub(1) else {
            return Vec::new();
        };
        let before: usize = widths[..last].iter().map(|width| width + GAP.len()).sum();
        let room = width.map(|width| width.saturating_sub(before).max(LEAST));
        std::iter::once(self.head)
            .chain(self.rows)
            .map(|row| {
                let cells: Vec<Cow<'_, str>> = row
                    .iter()
                    .enumerate()
                    .map(|(i, cell)| match room {
                        _ if i < last => pad_str(cell, widths[i], Alignment::Left, None),
                        Some(room) => truncate_str(cell, room, "…"),
                        None => Cow::Borrowed(cell.as_str()),
                    })
                    .collect();
                cells.join(GAP).trim_end().to_owned()
            })
            .collect()
    }
}

/// Text from outside in one line that can do nothing to a terminal: control characters are shown as escapes.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "STATUS", "COMMAND"]);
        table.row(["1", "running", "sleep 1"].map(str::to_owned));
        table.row(["234", "ok", "a command of some length"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table().lines(None),
            [
                "ID   STATUS   COMMAND",
                "1    running  sleep 1",
                "234  ok       a command of some length",
            ]
        );
    }

    #[test]
    fn the_last_column_is_cut_at_the_edge() {
        let lines = table().lines(Some(30));
        assert_eq!(lines[2], "234  ok       a command of so…");
        assert!(
            table()
                .lines(Some(3))
                .iter()
                .all(|line| line.chars().count() <= 14 + LEAST)
        );
    }

    #[test]
    fn what_users_wrote_stays_in_its_line() {
        assert_eq!(one_line("a\nb\t\u{1b}[2Jü"), "a\\nb\\t\\u{1b}[2Jü");
    }
}
