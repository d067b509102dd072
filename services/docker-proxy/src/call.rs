//! All that can be asked of the proxy: a closed list. Whatever reaches the engine is made from one of these.

use crate::filters::Filters;
use crate::ours::NewWorker;

/// A request that is understood, and allowed as far as it can be told without the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The NN of `/v1.NN`; the engine's newest unless given. Only answers depend on it: what changes something is made
    /// here, and for the newest.
    pub(crate) version: Option<u8>,
    pub(crate) call: Call,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// `GET` or `HEAD /_ping`
    Ping { head: bool },
    /// `GET /containers/json`, of ours
    ListContainers { all: bool, filters: Filters },
    /// `POST /containers/create`
    CreateContainer {
        worker: NewWorker,
        /// By which our containers are listed, to find one to make another like.
        ours: Filters,
    },
    /// What is about one container.
    Container { id: Id, action: ContainerAction },
    /// `GET /services`, ours
    ListServices { filters: Filters },
    /// `POST /services/{id}/update`: scale it, if its version is still this one.
    ScaleService { id: Id, version: u64 },
    /// `GET /tasks`, of our service
    ListTasks { filters: Filters },
    /// `GET /nodes`
    ListNodes,
}

/// What is done to one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerAction {
    /// `GET …/json`
    Inspect,
    /// `POST …/start`
    Start,
    /// `POST …/stop`: SIGTERM, and SIGKILL after so many seconds, or what the container was made with.
    Stop { seconds: Option<u32> },
    /// `POST …/kill?signal=SIGTERM`
    Terminate,
    /// `POST …/wait?condition=not-running`
    Wait,
    /// `DELETE …?v=1`: one that has stopped, with its anonymous volumes.
    Remove,
}

/// An id, the beginning of one, or a name: a letter or digit, and then letters, digits, `_`, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id(String);

impl Id {
    /// The longest name that anything has.
    const LONGEST: usize = 255;

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let begins = bytes.next()?.is_ascii_alphanumeric();
        let goes_on =
            bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        (begins && goes_on && text.len() <= Self::LONGEST).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Call {
    /// Whether something is different afterwards.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Ping { .. }
            | Self::ListContainers { .. }
            | Self::ListServices { .. }
            | Self::ListTasks { .. }
            | Self::ListNodes => false,
            Self::CreateContainer { .. } | Self::ScaleService { .. } => true,
            Self::Container { action, .. } => match action {
                ContainerAction::Inspect | ContainerAction::Wait => false,
                ContainerAction::Start
                | ContainerAction::Stop { .. }
                | ContainerAction::Terminate
                | ContainerAction::Remove => true,
            },
        }
    }

    /// Whether it comes with a body.
    pub(crate) fn has_body(&self) -> bool {
        matches!(
            self,
            Self::CreateContainer { .. } | Self::ScaleService { .. }
        )
    }
}
