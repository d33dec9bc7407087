//! What a queue does when it is full or empty.
#![no_std]
#![no_main]

use queue::{CAPACITY, Queue};

harness::tests! { a_full_queue_takes_nothing, an_empty_queue_gives_nothing }

fn a_full_queue_takes_nothing() {
    let mut queue = Queue::default();
    for _ in 0..CAPACITY {
        assert_eq!(queue.put(1), Ok(()));
    }
    assert_eq!(queue.put(2), Err(2));
}

fn an_empty_queue_gives_nothing() {
    assert_eq!(Queue::default().take(), None);
}
