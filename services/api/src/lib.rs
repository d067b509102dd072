//! The HTTP API, the live event stream and the dashboard's files.
