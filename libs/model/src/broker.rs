//! The broker: a bag, out of which any message comes at any time, more than once, or never.

use crate::state::State;
use crate::{Action, Setup};

impl Setup {
    pub(crate) fn broker_actions(&self, s: &State, actions: &mut Vec<Action>) {
        for (at, message) in s.messages.iter().copied().enumerate() {
            // The same message twice in the bag is the same step.
            if at > 0 && s.messages[at - 1] == message {
                continue;
            }
            if self.receives(s, message) {
                actions.extend([Action::Deliver(message), Action::DeliverTwice(message)]);
            }
            actions.push(Action::Lose(message));
        }
        if s.messages.len() > 1 {
            actions.push(Action::Wipe);
        }
    }
}
