//! Functions that call themselves and each other.
#![no_std]
pub enum Tree<'a> { Leaf(i32), Node(&'a Tree<'a>, &'a Tree<'a>) }
fn depth(t: &Tree) -> i32 { match t { Tree::Leaf(_) => 1, Tree::Node(a, b) => { let (a, b) = (depth(a), depth(b)); 1 + if a > b { a } else { b } } } }
fn even(n: i32) -> bool { n == 0 || odd(n - 1) }
fn odd(n: i32) -> bool { n != 0 && even(n - 1) }
fn ackermann(m: i32, n: i32) -> i32 { match (m, n) { (0, n) => n + 1, (m, 0) => ackermann(m - 1, 1), (m, n) => ackermann(m - 1, ackermann(m, n - 1)) } }
pub fn program(n: i32) -> i32 {
    let (a, b) = (Tree::Leaf(1), Tree::Leaf(n));
    let c = Tree::Node(&a, &b);
    let d = Tree::Node(&c, &a);
    depth(if n > 2 { &d } else { &c }) + i32::from(even(n)) + ackermann(2, n % 3)
}
