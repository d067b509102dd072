//! Plans of the product's own statements, as Postgres makes them.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// How a plan is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// For these arguments.
    Custom,
    /// For any arguments.
    Generic,
    /// The same, by a connection that is kept: see `Kept`.
    Kept,
}

/// One node of a plan: what it does, and what to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) does: String,
    pub(crate) relation: Option<String>,
    pub(crate) index: Option<String>,
    /// How many rows it looked at, if it was carried out.
    pub(crate) looked_at: f64,
    /// How many blocks it and what is below it read, if it was carried out.
    pub(crate) blocks: f64,
}

/// A plan, as the list of its nodes.
#[derive(Debug)]
pub(crate) struct Plan(pub(crate) Vec<Node>);

impl Plan {
    /// The tables that are read from end to end.
    pub(crate) fn scanned(&self) -> Vec<&str> {
        let scans = self.0.iter().filter(|node| node.does == "Seq Scan");
        scans.filter_map(|node| node.relation.as_deref()).collect()
    }

    /// Whether `index` is looked up.
    pub(crate) fn uses(&self, index: &str) -> bool {
        self.0
            .iter()
            .any(|node| node.index.as_deref() == Some(index))
    }

    /// How many rows of `table` were looked at.
    pub(crate) fn looked_at(&self, table: &str) -> f64 {
        let nodes = self.0.iter();
        nodes
            .filter(|node| node.relation.as_deref() == Some(table))
            .map(|node| node.looked_at)
            .sum()
    }
}

/// The plan of `sql` with `arguments`, which are SQL expressions; not carried out.
pub(crate) async fn plan(
    connection: &mut PgConnection,
    mode: Mode,
    sql: &str,
    arguments: &[String],
) -> Plan {
    explain(connection, mode, sql, arguments, "explain (format json)").await
}

/// The same, carried out (roll it back).
pub(crate) async fn plan_carried_out(
    connection: &mut PgConnection,
    mode: Mode,
    sql: &str,
    arguments: &[String],
) -> Plan {
    let explained = "explain (analyze, buffers, timing off, format json)";
    explain(connection, mode, sql, arguments, explained).await
}

async fn explain(
    connection: &mut PgConnection,
    mode: Mode,
    sql: &str,
    arguments: &[String],
    explained: &str,
) -> Plan {
    let (mode, seqscan) = match mode {
        Mode::Custom => ("force_custom_plan", "on"),
        Mode::Generic => ("force_generic_plan", "on"),
        Mode::Kept => ("force_generic_plan", "off"),
    };
    let prepared = format!(
        "set plan_cache_mode = {mode}; set enable_seqscan = {seqscan}; prepare explained as {sql}"
    );
    sqlx::raw_sql(AssertSqlSafe(prepared))
        .execute(&mut *connection)
        .await
        .unwrap();
    let arguments = match arguments {
        [] => String::new(),
        _ => format!("({})", arguments.join(", ")),
    };
    let executed = format!("{explained} execute explained {arguments}");
    let row = sqlx::raw_sql(AssertSqlSafe(executed))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let plan: Value = serde_json::from_str(row.get_unchecked(0)).unwrap();
    sqlx::raw_sql("deallocate explained")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut nodes = Vec::new();
    walk(&plan[0]["Plan"], &mut nodes);
    Plan(nodes)
}

fn walk(node: &Value, nodes: &mut Vec<Node>) {
    let text = |name: &str| node[name].as_str().map(str::to_owned);
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let rows = number("Actual Rows") + number("Rows Removed by Filter");
    nodes.push(Node {
        does: text("Node Type").unwrap(),
        relation: text("Relation Name"),
        index: text("Index Name"),
        looked_at: rows * number("Actual Loops"),
        blocks: number("Shared Hit Blocks") + number("Shared Read Blocks"),
    });
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, nodes);
    }
}
