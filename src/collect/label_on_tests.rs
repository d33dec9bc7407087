//! What functions and names come to, and what a target has for a name that is none.

use covtap_link::scripted::ScriptedLink;

use super::*;

fn spec(text: &str) -> Result<(String, usize, bool), String> {
    text.parse().map(|LabelSpec { symbol, argument, is_integer }| (symbol, argument, is_integer))
}

fn name(bytes: &[u8]) -> (Option<String>, bool) {
    let Called { name, fault } = name_of(bytes);
    (name, fault.is_some())
}

#[test]
fn a_function_and_an_argument() {
    assert_eq!(spec("begin"), Ok(("begin".to_owned(), 1, false)));
    assert_eq!(spec("begin:2"), Ok(("begin".to_owned(), 2, false)));
    assert_eq!(spec("_RNvC1a5begin:1i"), Ok(("_RNvC1a5begin".to_owned(), 1, true)));
    for wrong in ["", ":1", "begin:", "begin:0", "begin:i", "begin:-1", "begin:x", "a::b"] {
        assert!(spec(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_what_the_target_says_as_far_as_that_is_text() {
    assert_eq!(name(b""), (None, false));
    assert_eq!(name(b"adc: start"), (Some("adc: start".to_owned()), false));
    assert_eq!(name("\u{fc}ber".as_bytes()), (Some("\u{fc}ber".to_owned()), false));
    assert_eq!(name(b"a\x07\nb\xffc"), (Some("a\u{fffd}\u{fffd}b\u{fffd}c".to_owned()), true));
    assert_eq!(name(&[b'x'; 256]), (Some("x".repeat(256)), false));
    assert_eq!(name(&[b'x'; 257]), (Some("x".repeat(256)), true));
    let (cut, is_said) = name("\u{20ac}".repeat(100).as_bytes());
    assert_eq!((cut, is_said), (Some("\u{20ac}".repeat(85)), true));
    let (cut, is_said) = name(&[0x80; 257]);
    assert_eq!((cut, is_said), (Some("\u{fffd}".repeat(85)), true));
}

#[test]
fn so_many_faults_are_said_and_the_others_counted() {
    let mut faults = CallFaults::default();
    let said: Vec<_> = (0..100).filter_map(|n| faults.see(format!("fault {n}"))).collect();
    assert_eq!(said.len(), MAX_FAULTS_TOLD + 1);
    assert_eq!((said[0].as_str(), said[19].as_str()), ("fault 0", "fault 19"));
    assert!(said[20].contains("counted and not said"), "{}", said[20]);
    assert_eq!(faults.untold(), 80);
}

#[test]
fn a_string_is_read_to_its_end_and_no_further() {
    let start = 0x1000;
    let read = |bytes: Vec<u8>, offset: u64| {
        let link = ScriptedLink::new([(TargetAddr::new(start), bytes)]);
        read_string(&mut MeteredLink::new(Box::new(link)), start + offset, PointerWidth::Bits32)
    };
    // Nothing is mapped behind the piece that it ends in.
    let mut memory = vec![b'a'; 128];
    memory[127] = 0;
    assert_eq!(read(memory.clone(), 0).expect("it is read"), [b'a'; 127]);
    assert_eq!(read(memory.clone(), 100).expect("it is read"), [b'a'; 27]);
    assert_eq!(read(memory.clone(), 127).expect("it is read"), [0; 0]);
    memory[127] = b'a';
    assert!(read(memory, 0).is_err(), "it passes the end of memory");
    assert_eq!(read(vec![b'a'; 1024], 3).expect("it is read"), [b'a'; 257]);
}
