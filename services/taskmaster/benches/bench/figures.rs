//! What was measured: each figure with all its runs, as a table and as JSON.

use std::fmt::Write;

use serde::Serialize;

/// All that was measured in one run of the benchmark.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// What, such as `drain`.
    pub(crate) name: String,
    /// In what: `tasks/s`, `ms` and so on.
    pub(crate) unit: &'static str,
    /// The median of the runs.
    pub(crate) median: f64,
    /// Each run, in order.
    pub(crate) runs: Vec<f64>,
    /// Of a throughput: the median of its shares of the limit, each measured next to it.
    pub(crate) share_of_limit: Option<f64>,
}

impl Report {
    /// Notes a figure, and says it.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, runs: Vec<f64>) {
        self.add_share(name, unit, runs, None);
    }

    /// The same with its share of the limit.
    pub(crate) fn add_share(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        runs: Vec<f64>,
        share_of_limit: Option<f64>,
    ) {
        let figure = Figure {
            name: name.into(),
            unit,
            median: median(&runs),
            runs,
            share_of_limit,
        };
        println!("{}", figure.row());
        self.figures.push(figure);
    }

    /// The figure of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The median of the figure of this name.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        Some(self.get(name)?.median)
    }

    /// All of it, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = "| figure | median | least | most | unit | share of the limit |\n|---|---|---|---|---|---|\n".to_owned();
        for figure in &self.figures {
            writeln!(table, "{}", figure.row()).ok();
        }
        table
    }
}

impl Figure {
    fn row(&self) -> String {
        let least = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let share = self
            .share_of_limit
            .map_or(String::new(), |share| format!("{share:.2}"));
        format!(
            "| {} | {} | {} | {} | {} | {share} |",
            self.name,
            shown(self.median),
            shown(least),
            shown(most),
            self.unit
        )
    }
}

/// Three digits that matter, or all before the point.
pub(crate) fn shown(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that this share of all values is not above.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(index.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
