//! Sessions that end in every way, with a writer that keeps up and with one that does not.

use super::super::MeteredLink;
use super::super::counters::tests::region;
use super::*;
use crate::locate::MergeRule;
use covtap_link::scripted::{Fault, ScriptedLink};
use covtap_link::{Endianness, Operation, TargetAddr, TargetEvent};
use crossbeam_channel::Sender;

const BASE: TargetAddr = TargetAddr::new(0x1000);

fn session(link: ScriptedLink, schedule: Schedule) -> (Session<'static>, Sender<Stop>) {
    let regions = vec![region(BASE.get(), 8, MergeRule::Add, Endianness::Little)];
    let reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
    let (ask, stop) = bounded(2);
    (
        Session {
            reader,
            schedule,
            stop,
            requests: crossbeam_channel::never(),
            has_labels: true,
            reconnect: None,
        },
        ask,
    )
}

fn link() -> ScriptedLink {
    ScriptedLink::new([(BASE, vec![0; 8])])
}

fn schedule(every_ms: u64, snapshots: Option<u64>) -> Schedule {
    Schedule { every: Duration::from_millis(every_ms), duration: None, snapshots }
}

fn number(told: &Told) -> Option<u64> {
    match told {
        Told::Snapshot(snapshot) => Some(snapshot.number),
        _ => None,
    }
}

#[derive(Debug)]
enum WriteError {
    Collect(CollectError),
    DiskFull,
}

impl From<CollectError> for WriteError {
    fn from(error: CollectError) -> Self {
        Self::Collect(error)
    }
}

#[test]
fn snapshots_arrive_in_order_and_the_schedule_ends_it() {
    let (session, _ask) = session(link(), schedule(1, Some(5)));
    let mut seen = Vec::new();
    let summary = session.run(|told| -> Result<(), CollectError> {
        seen.extend(number(told));
        Ok(())
    });
    let summary = summary.expect("no error");
    assert_eq!((summary.ended, summary.taken, summary.overtaken), (Ended::Scheduled, 5, 0));
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[test]
fn a_slow_writer_delays_no_snapshot_and_still_gets_the_newest() {
    let (tell, all_taken) = std::sync::mpsc::channel();
    let (session, ask) = session(link().telling_detached(tell), schedule(1, Some(100)));
    drop(ask);
    let mut seen = Vec::new();
    let summary = session.run(|told| -> Result<(), CollectError> {
        if seen.is_empty() {
            // The disk is stuck with the first snapshot until the reader is through.
            all_taken.recv().expect("the reader goes on");
        }
        seen.extend(number(told));
        Ok(())
    });
    let summary = summary.expect("no error");
    assert_eq!(summary.taken, 100);
    assert_eq!(seen.len() as u64 + summary.overtaken, 100);
    assert_eq!(seen.split_off(1), (93..=100).collect::<Vec<_>>());
}

#[test]
fn a_writer_that_fails_ends_the_session_with_its_error() {
    let (session, _ask) = session(link(), schedule(1, None));
    let result = session.run(|told| if number(told) == Some(3) { Err(WriteError::DiskFull) } else { Ok(()) });
    assert!(matches!(result, Err(WriteError::DiskFull)));
}

#[test]
fn a_link_that_fails_ends_the_session_after_what_was_taken_is_written() {
    let (session, _ask) = session(link().with_fault(4, Fault::Disconnect), schedule(1, None));
    let mut seen = Vec::new();
    let result = session.run(|told| {
        seen.extend(number(told));
        Ok(())
    });
    assert!(matches!(result, Err(WriteError::Collect(CollectError::Link(_)))));
    assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn a_first_request_to_stop_takes_one_more_snapshot() {
    let (session, ask) = session(link(), schedule(3_600_000, None));
    let summary = session.run(|_| -> Result<(), CollectError> {
        let _ = ask.try_send(Stop::AfterLastSnapshot);
        Ok(())
    });
    let summary = summary.expect("no error");
    assert_eq!((summary.ended, summary.taken), (Ended::Stopped(Stop::AfterLastSnapshot), 2));
}

#[test]
fn a_request_to_stop_at_once_takes_none() {
    let (session, ask) = session(link(), schedule(3_600_000, None));
    let summary = session.run(|_| -> Result<(), CollectError> {
        let _ = ask.try_send(Stop::AtOnce);
        Ok(())
    });
    let summary = summary.expect("no error");
    assert_eq!((summary.ended, summary.taken), (Ended::Stopped(Stop::AtOnce), 1));
}

#[test]
fn every_pause_is_in_the_sum() {
    let pause = Duration::from_millis(3);
    let (session, _ask) = session(link().with_pause(pause), schedule(1, Some(5)));
    let summary = session.run(|_| -> Result<(), CollectError> { Ok(()) }).expect("no error");
    // To attach, for the first reading that is compared with, for five snapshots, and to detach.
    assert_eq!(summary.pause, pause * 8);
}

/// The first new link fails too, and the second is there.
#[test]
fn a_session_goes_on_over_another_link() {
    let (mut session, _ask) = session(link().with_fault(3, Fault::Disconnect), schedule(1, Some(5)));
    let mut tries = 0;
    let connect = || {
        tries += 1;
        let fails = LinkError::Closed { operation: Operation::Handshake, endpoint: "scripted".into() };
        if tries == 1 { Err(fails.into()) } else { Ok(MeteredLink::new(Box::new(link()))) }
    };
    session.reconnect = Some(Reconnect { connect: Box::new(connect), patience: Duration::from_secs(60) });
    let mut said = Vec::new();
    let summary = session.run(|told| -> Result<(), CollectError> {
        said.push(match told {
            Told::Snapshot(snapshot) => snapshot.number.to_string(),
            Told::Notice(Notice::LinkLost { .. }) => "lost".to_owned(),
            Told::Notice(Notice::LinkBack { .. }) => "back".to_owned(),
            other => panic!("{other:?}"),
        });
        Ok(())
    });
    assert_eq!(summary.expect("no error").taken, 5);
    assert_eq!(said, ["1", "2", "lost", "back", "3", "4", "5"]);
    assert_eq!(tries, 2);
}

#[test]
fn a_link_that_does_not_come_back_ends_the_session_with_what_it_failed_with() {
    let (mut session, _ask) = session(link().with_fault(3, Fault::Disconnect), schedule(1, Some(5)));
    let connect = || {
        let source = std::io::ErrorKind::ConnectionRefused.into();
        Err(LinkError::Connect { endpoint: "scripted".into(), source }.into())
    };
    session.reconnect = Some(Reconnect { connect: Box::new(connect), patience: Duration::from_millis(1) });
    let result = session.run(|_| -> Result<(), CollectError> { Ok(()) });
    assert!(matches!(result, Err(CollectError::Link(LinkError::Closed { .. }))));
}

/// The schedule is far away: the last snapshot comes because the target is held for it.
#[test]
fn a_target_that_is_held_before_its_end_is_read_a_last_time() {
    let (session, _ask) = session(
        link()
            .with_fault(1, Fault::Tell(TargetEvent::AboutToExit))
            .with_fault(2, Fault::Change(BASE, vec![9])),
        schedule(3_600_000, None),
    );
    let mut last = Vec::new();
    let summary = session.run(|told| -> Result<(), CollectError> {
        if let Told::Snapshot(snapshot) = told {
            last = snapshot.counters.regions().to_vec();
        }
        Ok(())
    });
    let summary = summary.expect("no error");
    assert_eq!((summary.ended, summary.taken), (Ended::TargetEnded, 2));
    assert_eq!(last, [vec![9, 0, 0, 0, 0, 0, 0, 0]]);
}
