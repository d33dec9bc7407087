//! Conversations without a server.

use proptest::prelude::*;

use super::*;
use crate::core::stop::ThreadId;

const FREE: Rules = Rules { sends_while_running: true, sends_while_stop_pending: true };
const BURST: Rules = Rules { sends_while_running: false, sends_while_stop_pending: true };

fn packet(payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, payload.as_bytes());
    out
}

fn notification(payload: &str) -> Vec<u8> {
    let mut out = packet(payload);
    out[0] = b'%';
    out
}

fn sent(session: &mut Session) -> String {
    let text = String::from_utf8_lossy(session.outgoing()).into_owned();
    session.sent(usize::MAX);
    text
}

fn reply(text: &str) -> Incoming {
    Incoming::Reply(text.into())
}

fn signal(signal: u8) -> Incoming {
    Incoming::Stop(StopReply::Signal { signal, thread: None, registers: Vec::new() })
}

fn drain(session: &mut Session) -> Vec<Incoming> {
    std::iter::from_fn(|| session.next()).collect()
}

/// A session whose target runs.
fn running(acks: Acks, rules: Rules) -> Session {
    let mut session = Session::new();
    session.set_acks(acks);
    session.set_rules(rules);
    session.resume(b"c").unwrap();
    assert_eq!(sent(&mut session), "$c#63");
    session
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let mut session = Session::new();
    session.request(b"g", Expected::Reply).unwrap();
    session.request(b"qC", Expected::Reply).unwrap();
    assert_eq!(sent(&mut session), "$g#67$qC#b4");
    session.feed(&[b"+".to_vec(), packet("0011"), packet("QC1")].concat()).unwrap();
    assert_eq!(drain(&mut session), [reply("0011"), reply("QC1")]);
    assert_eq!(sent(&mut session), "++");
}

#[test]
fn nothing_is_sent_to_a_running_target() {
    let mut session = running(Acks::Each, Rules { sends_while_stop_pending: false, ..BURST });
    assert_eq!(session.execution(), Execution::Running);
    assert_eq!(session.request(b"g", Expected::Reply), Err(SessionError::Running));
    session.interrupt();
    assert_eq!(session.execution(), Execution::StopPending);
    assert_eq!(session.request(b"g", Expected::Reply), Err(SessionError::Running));
    assert_eq!(sent(&mut session), "\x03");
    session.feed(&packet("T02thread:1;")).unwrap();
    assert_eq!(session.execution(), Execution::Stopped);
    session.request(b"g", Expected::Reply).unwrap();
}

#[test]
fn a_burst_is_one_stop_between_two_runs() {
    let mut session = running(Acks::OnDemand, BURST);
    session.interrupt();
    session.request(b"m0,4", Expected::Memory).unwrap();
    session.resume(b"c").unwrap();
    assert_eq!(session.execution(), Execution::Running);
    assert_eq!(sent(&mut session), "\x03$m0,4#fd$c#63");
    session.feed(&[packet("T02"), b"+".to_vec(), packet("00112233"), b"+".to_vec()].concat()).unwrap();
    assert_eq!(drain(&mut session), [signal(2), reply("00112233")]);
    assert_eq!(session.execution(), Execution::Running);
    // A `+` would stop the target.
    assert_eq!(sent(&mut session), "");
}

#[test]
fn a_stop_that_nobody_asked_for_is_acknowledged_so_that_interrupts_are_heard() {
    let mut session = running(Acks::OnDemand, BURST);
    session.feed(&packet("T05")).unwrap();
    assert_eq!(drain(&mut session), [signal(5)]);
    assert_eq!((session.execution(), sent(&mut session).as_str()), (Execution::Stopped, "+"));
}

#[test]
fn a_stop_may_come_before_an_answer_where_packets_are_taken_while_running() {
    let mut session = running(Acks::Off, FREE);
    session.request(b"m0,2", Expected::Memory).unwrap();
    session.feed(&[packet("S05"), packet("0011")].concat()).unwrap();
    assert_eq!(drain(&mut session), [signal(5), reply("0011")]);
    assert_eq!(session.execution(), Execution::Stopped);
}

#[test]
fn another_clients_stop_is_not_the_answer_to_the_first_request() {
    let mut session = Session::new();
    session.request(b"qSupported", Expected::Reply).unwrap();
    session.feed(&[packet("T02thread:p01.01;"), packet("PacketSize=1000")].concat()).unwrap();
    let thread = ThreadId::parse(b"p01.01");
    let stop = Incoming::Stop(StopReply::Signal { signal: 2, thread, registers: Vec::new() });
    assert_eq!(drain(&mut session), [stop, reply("PacketSize=1000")]);
}

#[test]
fn the_answer_to_a_stop_query_is_an_answer() {
    let mut session = Session::new();
    session.request(b"?", Expected::StopQuery).unwrap();
    session.feed(&packet("S05")).unwrap();
    assert_eq!(drain(&mut session), [reply("S05")]);
}

#[test]
fn text_comes_before_answers_and_is_none() {
    let mut session = Session::new();
    session.request(b"qRcmd,00", Expected::Reply).unwrap();
    session.feed(&[packet("O6869"), packet("O0a"), packet("OK")].concat()).unwrap();
    let text = |text: &str| Incoming::Console(text.into());
    assert_eq!(drain(&mut session), [text("hi"), text("\n"), reply("OK")]);
}

#[test]
fn text_that_nobody_takes_is_bounded() {
    let mut session = running(Acks::Off, BURST);
    let line = packet(&format!("O{}", "61".repeat(1000)));
    for _ in 0..10_000 {
        session.feed(&line).unwrap();
    }
    let kept: usize = drain(&mut session)
        .iter()
        .map(|incoming| match incoming {
            Incoming::Console(text) => text.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(kept <= MAX_CONSOLE_BYTES, "{kept}");
    session.feed(&line).unwrap();
    assert_eq!(drain(&mut session).len(), 1, "there is room again");
}

#[test]
fn a_damaged_packet_is_asked_for_again() {
    let mut session = Session::new();
    session.request(b"g", Expected::Reply).unwrap();
    sent(&mut session);
    session.feed(b"+$0011#00").unwrap();
    assert_eq!((sent(&mut session).as_str(), session.next()), ("-", None));
    session.feed(&packet("0011")).unwrap();
    assert_eq!((sent(&mut session).as_str(), session.next()), ("+", Some(reply("0011"))));
    // It does not last for ever.
    session.request(b"g", Expected::Reply).unwrap();
    let error = (0..100).find_map(|_| session.feed(b"$0011#00").err());
    assert_eq!(error, Some(SessionError::NotTaken));
}

#[test]
fn damage_is_an_error_where_nothing_can_be_asked_for_again() {
    let mut pipelined = Session::new();
    pipelined.request(b"m0,1", Expected::Memory).unwrap();
    pipelined.request(b"m1,1", Expected::Memory).unwrap();
    assert_eq!(pipelined.feed(b"$00#00"), Err(SessionError::Damaged));
    let mut unacknowledged = Session::new();
    unacknowledged.set_acks(Acks::Off);
    unacknowledged.request(b"m0,1", Expected::Memory).unwrap();
    assert_eq!(unacknowledged.feed(b"$00#00"), Err(SessionError::Damaged));
}

#[test]
fn an_answer_that_was_cut_off_does_not_let_the_next_one_take_its_place() {
    let mut session = Session::new();
    session.request(b"m0,2", Expected::Memory).unwrap();
    session.feed(b"$00$0011#c2").unwrap();
    assert_eq!(session.next(), Some(reply("0011")));
    session.request(b"m0,2", Expected::Memory).unwrap();
    session.request(b"m2,2", Expected::Memory).unwrap();
    assert_eq!(session.feed(b"$00$0011#c2"), Err(SessionError::Damaged));
}

#[test]
fn a_packet_that_did_not_arrive_is_sent_again() {
    let mut session = Session::new();
    session.request(b"g", Expected::Reply).unwrap();
    assert_eq!(sent(&mut session), "$g#67");
    session.feed(b"-").unwrap();
    assert_eq!(sent(&mut session), "$g#67");
    let error = (0..100).find_map(|_| session.feed(b"-").err());
    assert_eq!(error, Some(SessionError::NotTaken));
    assert!(session.outgoing().len() < 100);
}

#[test]
fn a_notification_is_followed_up_until_all_stops_are_told() {
    let mut session = Session::new();
    session.set_acks(Acks::Off);
    session.set_rules(FREE);
    session.request(b"m0,1", Expected::Memory).unwrap();
    sent(&mut session);
    session.feed(&[notification("Stop:S05"), packet("00")].concat()).unwrap();
    assert_eq!(drain(&mut session), [signal(5), reply("00")]);
    assert_eq!(sent(&mut session), "$vStopped#55");
    // A server that repeats itself before it was answered does not multiply the questions.
    session.feed(&notification("Stop:S05").repeat(50)).unwrap();
    assert_eq!(sent(&mut session), "");
    session.feed(&packet("S0a")).unwrap();
    assert_eq!(sent(&mut session), "$vStopped#55");
    session.feed(&packet("OK")).unwrap();
    assert_eq!(drain(&mut session), [signal(10), Incoming::NoMoreStops]);
    assert_eq!(sent(&mut session), "");
}

#[test]
fn a_refusal_to_run_is_told() {
    let mut session = running(Acks::Each, BURST);
    session.feed(&packet("")).unwrap();
    assert!(matches!(session.next(), Some(Incoming::ResumeRefused(_))));
    assert_eq!(session.execution(), Execution::Stopped);
}

#[test]
fn a_file_operation_may_be_answered_although_the_target_counts_as_running() {
    let mut session = running(Acks::OnDemand, BURST);
    session.feed(&packet("Fwrite,2,1f4,9")).unwrap();
    assert_eq!(drain(&mut session), [Incoming::FileIo(FileIo::Print { addr: 0x1f4, len_bytes: 9 })]);
    session.request(b"m1f4,9", Expected::Memory).unwrap();
    session.feed(&packet("00")).unwrap();
    session.answer_file_io(b"F9").unwrap();
    assert_eq!(sent(&mut session), "$m1f4,9#9d$F9#7f");
    assert_eq!(session.execution(), Execution::Running);
    assert_eq!(session.request(b"g", Expected::Reply), Err(SessionError::Running));
}

#[test]
fn nothing_follows_the_packet_that_lets_go() {
    let mut session = Session::new();
    session.detach(b"D;1").unwrap();
    assert_eq!(session.request(b"m0,4", Expected::Memory), Err(SessionError::Detached));
    session.interrupt();
    session.feed(&packet("OK")).unwrap();
    assert_eq!(sent(&mut session), "$D;1#b0");
}

#[test]
fn the_end_of_the_target_ends_every_run() {
    let mut session = running(Acks::OnDemand, BURST);
    session.interrupt();
    session.resume(b"c").unwrap();
    session.feed(&packet("W00")).unwrap();
    assert_eq!(drain(&mut session), [Incoming::Stop(StopReply::Exited(0))]);
    assert_eq!(session.execution(), Execution::Stopped);
}

#[test]
fn a_flood_ends_in_an_error() {
    let mut session = Session::new();
    let error = (0..1000).find_map(|_| session.feed(&packet("1234")).err());
    assert_eq!(error, Some(SessionError::Strays));
    let mut session = Session::new();
    let error = (0..10_000).find_map(|_| session.feed(&packet("T05")).err());
    assert_eq!(error, Some(SessionError::News));
    assert!(session.outgoing().len() <= MAX_NEWS + 1);
}

proptest! {
    /// Whatever comes, whatever the state: no panic, and what is kept stays within bounds.
    #[test]
    fn hostile_servers_are_borne(
        pieces in proptest::collection::vec(prop_oneof![
            any::<Vec<u8>>(),
            "[+$%#*}{-]{0,20}".prop_map(String::into_bytes),
            "[TSWXNFOE?a-f0-9;:,*]{0,30}".prop_map(|payload| packet(&payload)),
            "(Stop:)?[TSWXN][0-9]{2};?".prop_map(|payload| notification(&payload)),
        ], 0..60),
        acks in prop_oneof![Just(Acks::Each), Just(Acks::OnDemand), Just(Acks::Off)],
        steps in proptest::collection::vec(0u8..7, 0..60),
    ) {
        let mut session = Session::new();
        session.set_acks(acks);
        session.set_rules(BURST);
        let mut input = 0;
        for (i, piece) in pieces.iter().enumerate() {
            match steps.get(i) {
                Some(0) => drop(session.request(b"m0,4", Expected::Memory)),
                Some(1) => drop(session.request(b"?", Expected::StopQuery)),
                Some(2) => drop(session.resume(b"c")),
                Some(3) => session.interrupt(),
                Some(4) => session.forget_older_runs(),
                Some(5) => session.acknowledge(),
                _ => drop(session.next()),
            }
            input += piece.len();
            if session.feed(piece).is_err() {
                break;
            }
            prop_assert!(session.incoming.len() <= MAX_NEWS);
            prop_assert!(session.outgoing().len() <= 16 * (input + i + 1));
        }
    }
}
