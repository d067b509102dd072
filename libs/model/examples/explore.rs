//! Walks a space that the tests have no time for: how much may go wrong, the attempts of one task or two (`q` after
//! them: by AMQP; `r`: failed at each before, and retried by hand), and which disturbances there are to be, all unless told.
//!
//! ```sh
//! cargo run -p taskmaster-model --example explore -- 2 2
//! cargo run -p taskmaster-model --example explore -- 3 1q Crash,Drain,LoseReport
//! ```

use std::io::Write;

use taskmaster_model::{Disturbance, Setup, TaskSetup, check};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let disturbances = arguments.next().ok_or("how many disturbances?")?.parse()?;
    let attempts = arguments.next().ok_or("how many attempts?")?;
    let mut tasks = attempts.split(',').map(|task| {
        let max_attempts = task.trim_end_matches(['q', 'r']).parse()?;
        let by_amqp = task.ends_with('q');
        let retried = task.ends_with('r');
        Ok::<_, std::num::ParseIntError>(TaskSetup {
            max_attempts,
            by_amqp,
            retried,
        })
    });
    let tasks = [tasks.next().transpose()?, tasks.next().transpose()?];
    let mut only = Vec::new();
    for name in arguments.flat_map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>())
    {
        let all = Disturbance::ALL.into_iter();
        let found = all
            .into_iter()
            .find(|disturbance| format!("{disturbance:?}") == name);
        only.push(found.ok_or(format!("{name} is none of {:?}", Disturbance::ALL))?);
    }
    let checked = check(Setup {
        disturbances,
        only: if only.is_empty() {
            &Disturbance::ALL
        } else {
            only.leak()
        },
        tasks,
        broken: None,
        property: None,
    });
    Ok(writeln!(std::io::stdout(), "{checked}")?)
}
