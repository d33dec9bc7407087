//! Code of one's own between that of the standard library.
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
struct Shown(i32);
impl fmt::Display for Shown { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { if self.0 > 2 { write!(f, "<{}>", self.0) } else { f.write_str("small") } } }
fn words(text: &str) -> BTreeMap<&str, usize> { let mut m = BTreeMap::new(); for w in text.split(' ') { *m.entry(w).or_insert_with(|| if w.len() > 3 { 1 } else { 0 }) += 1; } m }
fn parse(text: &str) -> Result<i32, Box<dyn std::error::Error>> { let n: i32 = text.trim().parse()?; if n > 9 { return Err("large".into()); } Ok(n) }
fn main() {
    let sum = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..3).map(|n| { let sum = Arc::clone(&sum); std::thread::spawn(move || { if n != 1 { *sum.lock().unwrap() += n; } }) }).collect();
    for t in threads { t.join().unwrap(); }
    let names: HashMap<String, i32> = (0..4).map(|n| (format!("{}", Shown(n)), n)).collect();
    let mut v: Vec<i32> = names.values().copied().collect();
    v.sort_by(|a, b| if a == b { std::cmp::Ordering::Equal } else { b.cmp(a) });
    let boxed: Vec<Box<dyn Fn(i32) -> i32>> = vec![Box::new(|x| if x > 1 { 1 } else { 2 }), Box::new(move |x| x + v.len() as i32)];
    let total: i32 = boxed.iter().map(|f| f(2)).sum();
    println!("{total} {:?} {:?} {:?}", words("one three one"), parse("7").ok(), parse("77").map_err(|e| e.to_string()));
    assert_eq!(parse("x").is_err(), true, "a text {} that is not made", Shown(1));
}
