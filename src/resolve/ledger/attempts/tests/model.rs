//! Any number of processes that hold no lock, and see each other's files late.

use super::super::{Found, Mark, NewAttempt, NumberedAttempts};
use super::server::{Client, MAX_LATENESS, Server};
use super::{NOW, after, begin, url};
use crate::resolve::ledger::table::{RetrievalEvent, RetrievalRequest, State, Verdict, verdict};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    NoAnswer,
    Refused,
}

/// What one process of the model does next.
#[derive(Debug)]
enum Phase {
    /// Reads what is recorded, and decides.
    Idle,
    /// Makes an attempt.
    Decided { found: Box<Found>, permitted: bool },
    /// Sends its request.
    Begun { number: u32, permitted: bool },
    /// Records what became of the request.
    Sent { number: u32, fate: Fate },
    /// Uses the URL of an attempt.
    HasUrl { number: u32 },
}

#[derive(Debug)]
struct Process {
    client: Client,
    attempts: NumberedAttempts,
    phase: Phase,
    /// Whether another process made the last attempt that this one was about to make: then it knows that
    /// number, whatever it sees.
    is_taken: bool,
    /// Whether `--allow-recharge` is given, and not used up.
    may_recharge: bool,
}

/// What really happened to an attempt.
#[derive(Debug, Default)]
struct Truth {
    /// Without a fate, the request may still leave.
    fate: Option<Fate>,
    permitted: bool,
    delivered: bool,
    expired: bool,
}

#[derive(Debug)]
struct Model {
    server: Rc<Server>,
    processes: Vec<Process>,
    started: usize,
    attempts: BTreeMap<u32, Truth>,
}

/// One step of one process: it does what comes next, or is killed and starts anew.
#[derive(Clone, Copy, Debug)]
struct Step {
    process: usize,
    /// Whether the process is killed; then, whether the next one gets `--allow-recharge`.
    killed: Option<bool>,
    has_partial: bool,
    fate: Fate,
    delivers: bool,
    choice: usize,
    time: u64,
}

const PROCESSES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        2 => Just(Fate::Answered),
        1 => Just(Fate::NoAnswer),
        1 => Just(Fate::Refused),
    ];
    let killed = prop::option::weighted(0.1, prop::bool::weighted(0.3));
    let choices = (killed, prop::bool::weighted(0.2), any::<bool>());
    (0..PROCESSES, choices, fate, any::<usize>(), 0..20_u64).prop_map(
        |(process, (killed, has_partial, delivers), fate, choice, time)| Step {
            process,
            killed,
            has_partial,
            fate,
            delivers,
            choice,
            time,
        },
    )
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            server: Rc::default(),
            processes: Vec::new(),
            started: 0,
            attempts: BTreeMap::new(),
        };
        model.processes = (0..PROCESSES).map(|_| model.start(false)).collect();
        model
    }

    fn start(&mut self, may_recharge: bool) -> Process {
        self.started += 1;
        Process {
            client: Client {
                server: Rc::clone(&self.server),
                process: self.started,
                choice: Cell::new(self.started),
            },
            attempts: NumberedAttempts::new("a".to_owned()),
            phase: Phase::Idle,
            is_taken: false,
            may_recharge,
        }
    }

    /// Whether a request may leave without the flag: the last attempt that is not known to be without a
    /// charge delivered the document, and its URL expired.
    fn is_free(&self, before: u32) -> bool {
        let earlier = self.attempts.range(..before).rev();
        let mut charged = earlier.filter(|(_, truth)| truth.fate != Some(Fate::Refused));
        charged
            .next()
            .is_none_or(|(_, truth)| truth.delivered && truth.expired)
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.server.now.set(self.server.now.get() + step.time);
        if let Some(allow) = step.killed {
            self.processes[step.process] = self.start(allow);
            return Ok(());
        }
        let started = self.start(false);
        let mut process = std::mem::replace(&mut self.processes[step.process], started);
        process.client.choice.set(step.choice);
        let phase = std::mem::replace(&mut process.phase, Phase::Idle);
        process.phase = match phase {
            Phase::Idle => process.decide(step.has_partial),
            Phase::Decided { found, permitted } => {
                match begin(&mut process.attempts, &process.client, &found) {
                    NewAttempt::Own => self.begun(permitted, process.attempts.known)?,
                    NewAttempt::Taken => {
                        process.is_taken = true;
                        Phase::Idle
                    }
                }
            }
            Phase::Begun { number, permitted } => {
                process.may_recharge &= !permitted;
                let truth = self.attempts.get_mut(&number).unwrap();
                prop_assert_eq!(truth.fate, None, "two requests of attempt {}", number);
                truth.fate = Some(step.fate);
                Phase::Sent {
                    number,
                    fate: step.fate,
                }
            }
            Phase::Sent { number, fate } => process.record(number, fate),
            Phase::HasUrl { number } => {
                let truth = self.attempts.get_mut(&number).unwrap();
                let mark = if step.delivers {
                    Mark::Delivered
                } else {
                    Mark::Expired
                };
                truth.delivered |= mark == Mark::Delivered;
                truth.expired |= mark == Mark::Expired;
                let mut record = after(None, RetrievalEvent::Sending).unwrap();
                record.attempt = number;
                let marked = process.attempts.mark(&process.client, mark, &record, NOW);
                marked.unwrap();
                Phase::Idle
            }
        };
        self.processes[step.process] = process;
        Ok(())
    }

    fn begun(&mut self, permitted: bool, number: u32) -> Result<Phase, TestCaseError> {
        prop_assert!(
            permitted || self.is_free(number),
            "{number}: {:#?}",
            self.attempts
        );
        let truth = Truth {
            permitted,
            ..Truth::default()
        };
        let before = self.attempts.insert(number, truth);
        prop_assert!(before.is_none(), "attempt {} twice", number);
        Ok(Phase::Begun { number, permitted })
    }

    /// What a process says that starts when every change is visible: what really happened last.
    fn check_end(&mut self) -> Result<(), TestCaseError> {
        self.server
            .now
            .set(self.server.now.get() + 2 * MAX_LATENESS);
        let mut last = self.start(false);
        let found = last.attempts.read(&last.client).unwrap();
        let mut charged = self.attempts.iter().rev();
        let charged = charged.find(|(number, truth)| {
            let is_recording = self.processes.iter().any(|process| {
                matches!(process.phase, Phase::Sent { number: sent, .. } if sent == **number)
            });
            is_recording || truth.fate != Some(Fate::Refused) || found.number == **number
        });
        let Some((number, truth)) = charged else {
            prop_assert_eq!(found.record, None);
            return Ok(());
        };
        prop_assert_eq!(found.number, *number);
        let state = found.record.map(|record| record.state);
        if truth.delivered {
            prop_assert_eq!(state, Some(State::Delivered));
        } else if let Some(State::Answered | State::Delivered) = state {
            prop_assert_eq!(truth.fate, Some(Fate::Answered));
        }
        Ok(())
    }

    fn charges(&self, permitted: bool) -> usize {
        let is_charge = |truth: &&Truth| {
            let fate = truth.fate.unwrap_or(Fate::Refused);
            fate != Fate::Refused && truth.permitted == permitted
        };
        self.attempts.values().filter(is_charge).count()
    }
}

impl Process {
    fn decide(&mut self, has_partial: bool) -> Phase {
        if !std::mem::take(&mut self.is_taken) {
            self.attempts = NumberedAttempts::new("a".to_owned());
        }
        let mut found = self.attempts.read(&self.client).unwrap();
        if found.is_unseen {
            found.record = after(None, RetrievalEvent::Sending).map(|mut record| {
                record.attempt = found.number;
                record
            });
        }
        let request = RetrievalRequest {
            has_partial,
            permitted: self.may_recharge,
            ..RetrievalRequest::default()
        };
        match verdict(found.record.as_ref(), request) {
            Verdict::Request | Verdict::RequestAgain => Phase::Decided {
                found: Box::new(found),
                permitted: false,
            },
            Verdict::RequestPermitted => Phase::Decided {
                found: Box::new(found),
                permitted: true,
            },
            Verdict::Use(_) => Phase::HasUrl {
                number: found.number,
            },
            Verdict::Refuse(_) | Verdict::Renew(..) => Phase::Idle,
        }
    }

    fn record(&mut self, number: u32, fate: Fate) -> Phase {
        let sent = self
            .attempts
            .own
            .as_ref()
            .map(|attempt| attempt.record.clone());
        match fate {
            Fate::Refused => {
                self.attempts.take_back(&self.client).unwrap();
                Phase::Idle
            }
            Fate::NoAnswer => {
                let record = after(sent, RetrievalEvent::Unanswered).unwrap();
                self.attempts.end(&self.client, &record).unwrap();
                Phase::Idle
            }
            Fate::Answered => {
                let record = after(sent, RetrievalEvent::Answered((&url(number)).into())).unwrap();
                self.attempts.end(&self.client, &record).unwrap();
                Phase::HasUrl { number }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Processes that hold no lock, see the files of each other up to a minute late and in any order, are
    /// stopped anywhere and killed anywhere: no request leaves without the flag while an earlier one may
    /// have been charged, unless that one delivered the document and its URL expired.
    #[test]
    fn no_lock_and_late_files_cause_no_second_charge(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step)?;
        }
        model.check_end()?;
    }

    /// As long as no URL expires: one charge, and one more for each process that has the flag.
    #[test]
    fn one_charge_and_one_for_each_flag(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        let mut flags = 0;
        for step in steps {
            flags += usize::from(step.killed == Some(true));
            model.run(Step { delivers: true, ..step })?;
        }
        prop_assert!(model.charges(false) <= 1, "{:#?}", model.attempts);
        prop_assert!(model.charges(true) <= flags, "{:#?}", model.attempts);
    }
}
