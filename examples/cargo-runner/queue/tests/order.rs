//! Bytes come out in the order in which they went in.
#![no_std]
#![no_main]

use queue::Queue;

harness::tests! { first_in_first_out, around_the_end }

fn first_in_first_out() {
    let mut queue = Queue::default();
    for byte in 1..=3 {
        assert_eq!(queue.put(byte), Ok(()));
    }
    for byte in 1..=3 {
        assert_eq!(queue.take(), Some(byte));
    }
}

fn around_the_end() {
    let mut queue = Queue::default();
    for byte in 0..100 {
        assert_eq!(queue.put(byte), Ok(()));
        assert_eq!(queue.take(), Some(byte));
    }
}
