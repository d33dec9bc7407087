//! A source of backports, or of another release, derived from the machine's own apt sources.
//!
//! What enters is the text of the files that apt reads; what leaves is a source to add, or that there is no need.
//! The host and the key are the machine's own: it may use a mirror, and nobody here chooses for it.
//! Formats: sources.list(5), deb822(5).

/// How apt's files of sources are written, told apart by the file's extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// `deb [options] uri suite component...`, in `.list` files.
    OneLine,
    /// Stanzas of fields, in `.sources` files.
    Deb822,
}

impl Format {
    /// The extension by which apt knows the format.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::OneLine => "list",
            Self::Deb822 => "sources",
        }
    }
}

/// One file of sources.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) format: Format,
    pub(super) text: String,
}

/// What is to be done for backports.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Backports {
    /// The suite is among the machine's sources.
    Enabled,
    /// A file of this format and text would enable it.
    Add(Format, String),
    /// No source has the release's main archive.
    NoMainArchive,
}

/// One source, in the terms that both formats share.
#[derive(Debug)]
struct Source {
    format: Format,
    suites: Vec<String>,
    components: Vec<String>,
    /// Everything but type, suites and components, as it stood there.
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// Bracketed options (may be empty) and the URI.
    OneLine(String),
    /// Fields with their continuation lines.
    Deb822(Vec<String>),
}

/// What a file begins with that was added.
const NOTE: &str = "# Added by covtap's `cargo xtask`, which needs a newer QEMU than this release has.\n";

/// How a machine with `files` gets the backports of the release `codename`.
pub(super) fn derive(files: &[SourceFile], codename: &str) -> Backports {
    let suite = format!("{codename}-backports");
    let sources: Vec<Source> = files.iter().flat_map(sources).collect();
    if sources.iter().any(|s| s.has(&suite)) {
        return Backports::Enabled;
    }
    match sources.iter().find(|s| s.has(codename)) {
        Some(main) => Backports::Add(main.format, format!("{NOTE}{}", main.with_suite(&suite))),
        None => Backports::NoMainArchive,
    }
}

/// A source of `suite` where the release `codename` comes from; `None` if nothing has that.
pub(super) fn of_suite(files: &[SourceFile], codename: &str, suite: &str) -> Option<(Format, String)> {
    let main = files.iter().flat_map(sources).find(|source| source.has(codename))?;
    Some((main.format, main.with_suite(suite)))
}

fn sources(file: &SourceFile) -> Vec<Source> {
    match file.format {
        Format::OneLine => file.text.lines().filter_map(one_line).collect(),
        Format::Deb822 => stanzas(&file.text).iter().filter_map(|fields| deb822(fields)).collect(),
    }
}

fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (options, rest) = bracketed.split_once(']')?;
            (format!("[{}] ", options.trim()), rest)
        }
        None => (String::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let uri = words.next()?;
    let suites = vec![words.next()?.to_owned()];
    let components = words.map(str::to_owned).collect();
    Some(Source {
        format: Format::OneLine,
        suites,
        components,
        rest: Rest::OneLine(format!("{options}{uri}")),
    })
}

/// Fields of each stanza, each with its continuation lines, without comments.
fn stanzas(text: &str) -> Vec<Vec<String>> {
    let mut stanzas = vec![Vec::<String>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
            continue;
        }
        let Some(fields) = stanzas.last_mut() else { continue };
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => {
                field.push('\n');
                field.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    stanzas
}

fn deb822(fields: &[String]) -> Option<Source> {
    let words = |name: &str| -> Option<Vec<String>> {
        let field = fields.iter().find(|field| is_field(field, name))?;
        let (_, value) = field.split_once(':')?;
        Some(value.split_whitespace().map(str::to_owned).collect())
    };
    let off = |value: &String| ["no", "false", "off", "0"].iter().any(|no| value.eq_ignore_ascii_case(no));
    if !words("Types")?.iter().any(|kind| kind == "deb") || words("Enabled").iter().flatten().any(off) {
        return None;
    }
    const REPLACED: [&str; 4] = ["Types", "Suites", "Components", "Enabled"];
    let kept = |field: &&String| !REPLACED.iter().any(|name| is_field(field, name));
    Some(Source {
        format: Format::Deb822,
        suites: words("Suites")?,
        components: words("Components").unwrap_or_default(),
        rest: Rest::Deb822(fields.iter().filter(kept).cloned().collect()),
    })
}

/// Field names do not mind case.
fn is_field(field: &str, name: &str) -> bool {
    field.split_once(':').is_some_and(|(n, _)| n.trim().eq_ignore_ascii_case(name))
}

impl Source {
    fn has(&self, suite: &str) -> bool {
        self.suites.iter().any(|s| s == suite) && self.components.iter().any(|c| c == "main")
    }

    fn with_suite(&self, suite: &str) -> String {
        match &self.rest {
            Rest::OneLine(options_and_uri) => format!("deb {options_and_uri} {suite} main\n"),
            Rest::Deb822(fields) => {
                let fields: String = fields.iter().map(|field| format!("{field}\n")).collect();
                format!("Types: deb\nSuites: {suite}\nComponents: main\n{fields}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb822_file(text: &str) -> SourceFile {
        SourceFile { format: Format::Deb822, text: text.into() }
    }

    fn list_file(text: &str) -> SourceFile {
        SourceFile { format: Format::OneLine, text: text.into() }
    }

    fn added(file: SourceFile) -> String {
        match derive(&[file], "bookworm") {
            Backports::Add(_, text) => text.strip_prefix(NOTE).expect("the note").to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_deb822_stanza_keeps_its_uri_and_key() {
        let file = deb822_file(
            "Types: deb\n# snapshot of some day\nURIs: http://mirror.example/debian\n\
             Suites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/k.gpg\n\n\
             Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\
             Components: main\nSigned-By: /usr/share/keyrings/s.gpg\n",
        );
        assert_eq!(
            added(file),
            "Types: deb\nSuites: bookworm-backports\nComponents: main\nURIs: http://mirror.example/debian\n\
             Signed-By: /usr/share/keyrings/k.gpg\n"
        );
    }

    #[test]
    fn a_key_inside_a_stanza_and_several_uris_are_kept_whole() {
        let file = deb822_file(
            "types: deb deb-src\nuris: http://a.example/debian\n http://b.example/debian\nsuites: bookworm\n\
             components: main\nsigned-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINB\n\
             \u{20}-----END PGP PUBLIC KEY BLOCK-----\nArchitectures: amd64\n",
        );
        assert_eq!(
            added(file),
            "Types: deb\nSuites: bookworm-backports\nComponents: main\nuris: http://a.example/debian\n \
             http://b.example/debian\nsigned-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINB\n \
             -----END PGP PUBLIC KEY BLOCK-----\nArchitectures: amd64\n"
        );
    }

    #[test]
    fn a_line_keeps_its_options_and_uri() {
        let file = list_file(
            "# deb http://other.example/debian bookworm main\ndeb-src http://m.example/debian bookworm main\n\
             deb http://m.example/debian-security bookworm-security main\n\
             deb\t[ arch=amd64 signed-by=/usr/share/keyrings/k.gpg ] http://m.example/debian bookworm main # x\n",
        );
        let expected = "deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://m.example/debian \
                        bookworm-backports main\n";
        assert_eq!(added(file), expected);
        let plain = list_file("deb http://m.example/debian/ bookworm contrib main\n");
        assert_eq!(added(plain), "deb http://m.example/debian/ bookworm-backports main\n");
    }

    #[test]
    fn what_was_derived_is_seen_as_enabled() {
        for file in [
            deb822_file("Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n"),
            list_file("deb http://m.example/debian bookworm main\n"),
        ] {
            let Backports::Add(format, text) = derive(&[file], "bookworm") else { panic!("not derived") };
            assert_eq!(derive(&[SourceFile { format, text }], "bookworm"), Backports::Enabled);
        }
    }

    #[test]
    fn another_release_comes_from_where_this_one_does() {
        let files = [
            list_file("deb http://m.example/other stable main\n"),
            list_file("deb [arch=amd64] http://m.example/debian bookworm main contrib\n"),
        ];
        let text = "deb [arch=amd64] http://m.example/debian sid main\n".to_owned();
        assert_eq!(of_suite(&files, "bookworm", "sid"), Some((Format::OneLine, text)));
        assert_eq!(of_suite(&files[..1], "bookworm", "sid"), None);
    }

    #[test]
    fn a_disabled_suite_is_not_enabled() {
        let main = "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n\n";
        let backports =
            "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm-backports\nComponents: main\n";
        let disabled = deb822_file(&format!("{main}{backports}Enabled: no\n"));
        assert!(matches!(derive(&[disabled], "bookworm"), Backports::Add(Format::Deb822, _)));
        let enabled = deb822_file(&format!("{main}{backports}Enabled: yes\n"));
        assert_eq!(derive(&[enabled], "bookworm"), Backports::Enabled);
    }

    #[test]
    fn without_the_main_archive_nothing_is_made_up() {
        let other =
            list_file("deb http://m.example/thing stable main\ndeb\ndeb [\ndeb [x] \ndeb http://m.example\n");
        assert_eq!(derive(&[other], "bookworm"), Backports::NoMainArchive);
        assert_eq!(derive(&[deb822_file("")], "bookworm"), Backports::NoMainArchive);
        assert_eq!(derive(&[], "bookworm"), Backports::NoMainArchive);
    }
}
