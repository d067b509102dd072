//! How many tasks a worker may hold at once.

/// The most that is ever assigned beyond a worker's slots.
const MAX_AHEAD: u32 = 1000;

/// How much finished work, in seconds, a worker is kept supplied with beyond its slots: several times the way
/// from a finish through the coordinator to the next assignment, so that it never idles between two short tasks.
const AHEAD_SECONDS: f64 = 0.1;

/// The window of a worker with `slots` slots that finishes `finished_per_second` tasks: its slots, plus what it gets
/// through in a tenth of a second. A worker of long tasks holds no more than it runs, so that the rest can still go to
/// whoever is free first.
#[must_use]
pub fn window(slots: u32, finished_per_second: f64) -> u32 {
    let ahead = (finished_per_second * AHEAD_SECONDS).clamp(0.0, f64::from(MAX_AHEAD));
    // The cast saturates and the value is clamped to 0..=1000 above.
    slots.saturating_add(ahead as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_rate() {
        assert_eq!(window(4, 0.0), 4);
        assert_eq!(window(4, 1.0), 4);
        assert_eq!(window(4, 500.0), 54);
        assert_eq!(window(4, 1e9), 1004);
        assert_eq!(window(4, f64::NAN), 4);
    }
}
