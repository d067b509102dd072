//! Consumes its own queue, runs commands, reports what became of them.
