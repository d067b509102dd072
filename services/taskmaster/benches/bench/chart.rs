//! The throughputs as a picture for the docs: bars as SVG, readable on a light and on a dark page.

use std::fmt::Write;

use crate::figures::{Figure, Report, shown};

const WIDTH: f64 = 720.0;
/// Where the bars begin, behind their names.
const LEFT: f64 = 170.0;
/// What the values behind the longest bar take.
const RIGHT: f64 = 90.0;
const ROW: f64 = 24.0;
const TITLE: f64 = 34.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.bar{fill:#8c959f}.ours{fill:#2f81f7}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}}";

/// A group of bars: what is measured, and which figures show it under which names.
struct Group<'a> {
    title: &'static str,
    bars: Vec<(String, &'a Figure)>,
}

/// The picture; nothing if no throughput was measured.
pub(crate) fn svg(report: &Report) -> Option<String> {
    let groups = [
        group(report, "sustained", "Sustained, no-op tasks per second"),
        group(
            report,
            "drain",
            "Drain of a backlog, no-op tasks per second",
        ),
    ];
    let groups: Vec<Group> = groups.into_iter().flatten().collect();
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    if rows == 0 {
        return None;
    }
    let height = TITLE * groups.len() as f64 + ROW * rows as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    let mut top = 0.0;
    for group in groups {
        let baseline = top + 22.0;
        writeln!(
            svg,
            "<text class=\"title\" x=\"0\" y=\"{baseline}\">{}</text>",
            group.title
        )
        .ok()?;
        top += TITLE;
        let longest = group
            .bars
            .iter()
            .map(|(_, figure)| figure.median)
            .fold(1.0, f64::max);
        for (name, figure) in group.bars {
            let width = (WIDTH - LEFT - RIGHT) * figure.median / longest;
            let class = if name == "TaskMaster" {
                "bar ours"
            } else {
                "bar"
            };
            let (middle, bar_top) = (top + 16.0, top + 3.0);
            writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{middle}\" text-anchor=\"end\">{name}</text><rect class=\"{class}\" x=\"{LEFT}\" y=\"{bar_top}\" width=\"{width:.1}\" height=\"18\" rx=\"2\"/><text x=\"{:.1}\" y=\"{middle}\">{}</text>",
                LEFT - 8.0,
                LEFT + width + 6.0,
                shown(figure.median)
            )
            .ok()?;
            top += ROW;
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Side by side with the others where they were measured, else beside the limit; the fastest first.
fn group<'a>(report: &'a Report, what: &str, title: &'static str) -> Option<Group<'a>> {
    let ending = format!(": {what}");
    let mut bars: Vec<(String, &Figure)> = report
        .figures
        .iter()
        .filter_map(|figure| {
            let name = figure.name.strip_prefix("peers: ")?.strip_suffix(&ending)?;
            Some((name.to_owned(), figure))
        })
        .collect();
    if bars.is_empty() {
        bars.push(("TaskMaster".to_owned(), report.get(what)?));
        bars.push((
            "SQL alone (the limit)".to_owned(),
            report.get("limit: SQL alone")?,
        ));
    }
    bars.sort_by(|(_, one), (_, other)| other.median.total_cmp(&one.median));
    Some(Group { title, bars })
}
