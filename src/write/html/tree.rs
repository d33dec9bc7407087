//! Files as a tree of directories, as rows of a table.
//!
//! What enters is names of files; what leaves is rows, each directory before what is in it. What always holds: a
//! directory has a row only if it holds two files or more that part there: a chain of directories is one row, and a
//! file that is alone in its directory carries its name. So there are fewer directories than files, however deep a
//! program says that its files are.

/// A row of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// How many directories it is in.
    pub(super) depth: usize,
    /// Its name below the directory that it is in; a directory's ends with a slash.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) node: Node,
}

/// What a row stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    /// The files of these indices in [`Tree::order`].
    Dir(std::ops::Range<usize>),
    /// The file at this index of [`Tree::order`].
    File(usize),
}

/// Files in the order of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tree {
    /// The directory that all are in; empty if there is none, else it ends with a slash.
    pub(super) root: Vec<u8>,
    /// The files: indices into the names that the tree was made of.
    pub(super) order: Vec<usize>,
    /// The rows.
    pub(super) rows: Vec<Row>,
}

/// Builds the tree of these names.
pub(super) fn build(names: &[&[u8]]) -> Tree {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_cached_key(|index| names.get(*index).map(|name| key(name)));
    let sorted: Vec<&[u8]> = order.iter().filter_map(|index| names.get(*index).copied()).collect();
    let dirs = directories(&sorted);
    // The directory of all files is the tree itself.
    let root_len = dirs.first().filter(|dir| dir.files.len() == sorted.len()).map_or(0, |dir| dir.len);
    let root = sorted.first().and_then(|name| name.get(..root_len)).unwrap_or_default().to_vec();
    Tree { root, rows: rows(&sorted, &dirs, root_len), order }
}

/// Sorts files by their directories, and then by name.
fn key(name: &[u8]) -> Vec<&[u8]> {
    name.split(|byte| *byte == b'/').collect()
}

/// A directory: the length of its name, with the slash, and its files.
struct Dir {
    len: usize,
    files: std::ops::Range<usize>,
}

/// The directories in which neighbours part, outer ones first where they begin together.
fn directories(sorted: &[&[u8]]) -> Vec<Dir> {
    let shared = sorted.windows(2).map(|pair| match pair {
        [a, b] => shared_dir(a, b),
        _ => 0,
    });
    let mut open: Vec<Dir> = Vec::new();
    let mut done = Vec::new();
    // Behind the last file all end.
    for (index, len) in shared.chain([0]).enumerate() {
        let end = index.saturating_add(1);
        let mut start = index;
        while let Some(mut dir) = open.pop_if(|dir| dir.len > len) {
            start = dir.files.start;
            dir.files.end = end;
            done.push(dir);
        }
        if len > 0 && open.last().is_none_or(|dir| dir.len < len) {
            open.push(Dir { len, files: start..end });
        }
    }
    done.sort_by_key(|dir| (dir.files.start, dir.len));
    done
}

/// The length of the directory that both are in.
fn shared_dir(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let shared = a.get(..same).unwrap_or_default();
    shared.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash.saturating_add(1))
}

fn rows(sorted: &[&[u8]], dirs: &[Dir], root_len: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut open: Vec<&Dir> = Vec::new();
    let mut dirs = dirs.iter().filter(|dir| dir.len > root_len).peekable();
    for (index, name) in sorted.iter().enumerate() {
        while open.pop_if(|dir| dir.files.end <= index).is_some() {}
        let within = |open: &[&Dir]| open.last().map_or(root_len, |dir| dir.len);
        while let Some(dir) = dirs.next_if(|dir| dir.files.start == index) {
            let name = name.get(within(&open)..dir.len).unwrap_or_default().to_vec();
            rows.push(Row { depth: open.len(), name, node: Node::Dir(dir.files.clone()) });
            open.push(dir);
        }
        let name = name.get(within(&open)..).unwrap_or_default().to_vec();
        rows.push(Row { depth: open.len(), name, node: Node::File(index) });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(names: &[&str]) -> (String, Vec<String>) {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let tree = build(&names);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let row = |row: &Row| format!("{}{}", " ".repeat(row.depth), text(&row.name));
        (text(&tree.root), tree.rows.iter().map(row).collect())
    }

    #[test]
    fn directories_stand_before_what_is_in_them() {
        let (root, rows) = shown(&["/w/src/b/y.c", "/w/src/b/x.c", "/w/src/a.c", "/w/lib/deep/er/z.c"]);
        assert_eq!(root, "/w/");
        assert_eq!(rows, ["lib/deep/er/z.c", "src/", " a.c", " b/", "  x.c", "  y.c"]);
    }

    #[test]
    fn chains_are_one_row_and_neighbours_in_name_are_not_in_one_directory() {
        let (root, rows) = shown(&["a/b/c/1", "a/b/c/2", "a.b/1", "a", "a/b-c"]);
        assert_eq!(root, "");
        assert_eq!(rows, ["a", "a/", " b/c/", "  1", "  2", " b-c", "a.b/1"]);
        assert_eq!(shown(&["only/one.c"]), (String::new(), vec!["only/one.c".to_owned()]));
        assert_eq!(shown(&[]), (String::new(), vec![]));
    }

    proptest! {
        #[test]
        fn every_file_is_there_once_under_its_name(names in prop::collection::btree_set("[ab./]{0,8}", 0..30)) {
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let tree = build(&names);
            let mut open: Vec<Vec<u8>> = vec![tree.root.clone()];
            let mut found = Vec::new();
            for row in &tree.rows {
                prop_assert!(row.depth < open.len());
                open.truncate(row.depth + 1);
                let name = [open.last().unwrap().as_slice(), &row.name].concat();
                match &row.node {
                    Node::Dir(files) => {
                        prop_assert!(files.len() > 1 && name.ends_with(b"/"));
                        open.push(name);
                    }
                    Node::File(index) => {
                        prop_assert_eq!(names[tree.order[*index]], &name);
                        found.push(name);
                    }
                }
            }
            found.sort();
            prop_assert_eq!(found, names);
        }
    }
}
