//! Which job was run how often, and when.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MOST_JOBS: usize = 1 << 24;
const MOST_STARTS: usize = 1 << 14;

/// See the module.
pub(crate) struct Ledger {
    began: Instant,
    first: AtomicU64,
    calls: AtomicU32,
    starts: Vec<AtomicU64>,
    runs: Vec<AtomicU8>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            first: AtomicU64::new(0),
            calls: AtomicU32::new(0),
            starts: (0..MOST_STARTS).map(|_| AtomicU64::new(0)).collect(),
            runs: (0..MOST_JOBS).map(|_| AtomicU8::new(0)).collect(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What a handler does first, and all that it does.
    pub(crate) fn record(&self, job: u32) {
        let job = job as usize;
        if let Some(start) = self.starts.get(job) {
            start.store(self.now(), Relaxed);
        }
        self.runs[job].fetch_add(1, Relaxed);
        if self.calls.fetch_add(1, Relaxed) == 0 {
            self.first.store(self.now(), Relaxed);
        }
    }

    pub(crate) fn ran(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    pub(crate) fn distinct(&self) -> usize {
        let runs = self.runs.iter();
        runs.filter(|runs| runs.load(Relaxed) > 0).count()
    }

    /// When the first job of all was run.
    pub(crate) fn first_at(&self) -> Instant {
        self.began + Duration::from_nanos(self.first.load(Relaxed))
    }

    pub(crate) fn start_of(&self, job: u32) -> Instant {
        self.began + Duration::from_nanos(self.starts[job as usize].load(Relaxed))
    }
}
