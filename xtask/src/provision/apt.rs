//! Driving apt: which commands install a set of packages, and running them.
//!
//! QEMU is the one thing that a release may have too old. On Debian it then comes from the release's
//! backports, whose suite is enabled if it is not.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::backports::{self, Backports, Format, SourceFile};
use super::names;
use super::packages::Package;
use super::version::{self, MIN_QEMU_MAJOR};
use crate::child;

pub(super) const APT_GET: &str = "/usr/bin/apt-get";
const APT_CACHE: &str = "/usr/bin/apt-cache";
const OS_RELEASE: &str = "/etc/os-release";
const SOURCES_DIR: &str = "/etc/apt/sources.list.d";

/// Waits for another apt instead of failing, and does not give up at a server's first hiccup.
const PATIENCE: [&str; 4] = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

/// What a backported QEMU depends on in versions that only the backports have. Only these are taken from there:
/// with `apt-get -t` all that QEMU needs would be, and a library from there can keep the release's own programs,
/// GDB for one, from being installed later.
const BACKPORTED_WITH: &[(&str, &[&str])] = &[
    ("qemu-system-x86", &["qemu-system-common", "qemu-system-data", "seabios"]),
    ("qemu-system-arm", &["qemu-system-common", "qemu-system-data"]),
    (
        "qemu-system-misc",
        &["qemu-system-common", "qemu-system-data", "qemu-system-riscv", "qemu-system-s390x", "opensbi"],
    ),
];

/// What installs a set of packages.
#[derive(Debug)]
pub(super) struct Plan {
    /// A file of sources to be written first.
    source: Option<(PathBuf, String)>,
    /// Packages as apt-get takes them: `NAME`, or `NAME/SUITE`.
    packages: Vec<String>,
}

impl Plan {
    /// All at once, so that apt sees every demand; and nothing may be removed for it.
    fn install_args(&self) -> Vec<&str> {
        let fixed = ["install", "--yes", "--no-remove", "--no-install-recommends"];
        fixed.into_iter().chain(self.packages.iter().map(String::as_str)).collect()
    }
}

impl fmt::Display for Plan {
    /// The commands, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, text)) = &self.source {
            writeln!(f, "  cat > {} <<'END'\n{text}END", path.display())?;
        }
        write!(f, "  apt-get update\n  apt-get {}", self.install_args().join(" "))
    }
}

/// What would install `missing` on this machine, as far as apt's lists tell.
pub(super) fn plan(missing: &[&'static Package]) -> Result<Plan> {
    let (qemu, mut plain): (Vec<_>, Vec<_>) = missing.iter().copied().partition(|p| p.is_qemu());
    let mut plan = Plan { source: None, packages: Vec::new() };
    if qemu.iter().copied().all(new_enough) {
        plain.extend(qemu);
    } else {
        let codename = debian_codename()?;
        plan.source = backports_source(&codename)?;
        let names = backported(&qemu, &installed_of_qemu()?);
        plan.packages.extend(names.iter().map(|name| format!("{name}/{codename}-backports")));
    }
    plan.packages.extend(plain.iter().map(|p| p.name.to_owned()));
    Ok(plan)
}

/// The packages to take from the backports for `qemu`: with companions, and with those of QEMU's that are there
/// in an older version and would not go with a newer one.
fn backported(qemu: &[&Package], installed: &[String]) -> BTreeSet<String> {
    let companions = |name| BACKPORTED_WITH.iter().filter(move |(package, _)| *package == name);
    let companions = qemu.iter().flat_map(|p| companions(p.name)).flat_map(|(_, with)| with.iter().copied());
    let names = qemu.iter().map(|p| p.name).chain(companions).map(str::to_owned);
    names.chain(installed.iter().cloned()).collect()
}

/// Installed packages that are made from QEMU's source.
fn installed_of_qemu() -> Result<Vec<String>> {
    let format = "${source:Package} ${db:Status-Status} ${Package}\n";
    let output = child::output(Command::new("dpkg-query").args(["--show", "--showformat", format]))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    Ok(printed.lines().filter_map(|line| line.strip_prefix("qemu installed ")).map(str::to_owned).collect())
}

/// Installs `missing`; this process must be root.
pub(super) fn install(missing: &[&'static Package]) -> Result<()> {
    // Lists may be old, or not be there at all in a container. One broken source of many is no reason to stop
    // here: whether the packages can be had is seen next.
    if let Err(error) = apt_get(&["update"]) {
        eprintln!("xtask: {error:#}; going on with the lists that are there");
    }
    let plan = plan(missing)?;
    if let Some((path, text)) = &plan.source {
        enable(path, text)?;
    }
    let unknown: Vec<_> = missing.iter().copied().filter(|p| candidate(p.name).is_none()).collect();
    if !unknown.is_empty() {
        bail!("this machine's apt sources do not have {}", names(&unknown));
    }
    apt_get(&plan.install_args())
}

/// Writes a source and fetches its lists; a source that does not work is taken away again.
fn enable(path: &Path, text: &str) -> Result<()> {
    println!("writing {}:\n{text}", path.display());
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    apt_get(&["update"]).inspect_err(|_| {
        // The error at hand says more than a second one would.
        let _ = fs::remove_file(path);
    })
}

/// Runs apt in the foreground: it knows best how to be interrupted without leaving packages half installed.
fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new(APT_GET);
    command.args(PATIENCE).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    let shown = child::show(&command);
    println!("$ {shown}");
    let status = command
        .stdin(std::process::Stdio::null())
        .status()
        .with_context(|| format!("could not start `{shown}`"))?;
    child::go_on()?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn candidate(package: &str) -> Option<String> {
    let output = child::output(Command::new(APT_CACHE).args(["policy", package])).ok()?;
    version::candidate(&String::from_utf8_lossy(&output.stdout)).map(str::to_owned)
}

fn new_enough(package: &Package) -> bool {
    let major = candidate(package.name).as_deref().and_then(version::major_of_package);
    major.is_some_and(|major| major >= MIN_QEMU_MAJOR)
}

/// The release's code name, on Debian only: others have no backports of QEMU that were tried.
fn debian_codename() -> Result<String> {
    let text = fs::read_to_string(OS_RELEASE).with_context(|| format!("read {OS_RELEASE}"))?;
    let field = |name: &str| os_release_field(&text, name);
    match (field("ID"), field("VERSION_CODENAME")) {
        (Some("debian"), Some(codename)) => Ok(codename.to_owned()),
        _ => bail!(
            "this system's packages have no QEMU {MIN_QEMU_MAJOR} or newer: install qemu-system-arm, \
             qemu-system-riscv32 and qemu-system-x86_64 from elsewhere"
        ),
    }
}

/// A field of os-release(5), without quotes.
fn os_release_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

/// The file that enables the backports of `codename`, or none if they are enabled.
fn backports_source(codename: &str) -> Result<Option<(PathBuf, String)>> {
    match backports::derive(&source_files()?, codename) {
        Backports::Enabled => Ok(None),
        Backports::Add(format, text) => {
            let name = format!("covtap-backports.{}", format.extension());
            Ok(Some((Path::new(SOURCES_DIR).join(name), text)))
        }
        Backports::NoMainArchive => {
            bail!(
                "no apt source has the main archive of {codename}, from which to derive {codename}-backports"
            )
        }
    }
}

/// A source of another release of Debian, from where this system's own packages come: a file's extension and text.
pub(super) fn source_of(suite: &str) -> Result<(&'static str, String)> {
    let text = fs::read_to_string(OS_RELEASE).with_context(|| format!("read {OS_RELEASE}"))?;
    let codename = os_release_field(&text, "VERSION_CODENAME").unwrap_or_default();
    let (format, text) = backports::of_suite(&source_files()?, codename, suite).with_context(|| {
        format!("no apt source has the main archive of {codename:?}, from which to derive {suite}")
    })?;
    Ok((format.extension(), text))
}

/// This release's main archive, as a source of source packages: a file's extension and text.
pub(super) fn source_packages() -> Result<(&'static str, String)> {
    let text = fs::read_to_string(OS_RELEASE).with_context(|| format!("read {OS_RELEASE}"))?;
    let (extension, text) = source_of(os_release_field(&text, "VERSION_CODENAME").unwrap_or_default())?;
    Ok((extension, of_source_packages(&text)))
}

/// A source of packages made one of source packages, in either format.
fn of_source_packages(text: &str) -> String {
    match text.strip_prefix("deb ") {
        Some(rest) => format!("deb-src {rest}"),
        None => text.replacen("Types: deb\n", "Types: deb-src\n", 1),
    }
}

/// The files that apt reads its sources from.
fn source_files() -> Result<Vec<SourceFile>> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir(SOURCES_DIR) {
        paths.extend(entries.flatten().map(|entry| entry.path()));
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let extension = path.extension().and_then(|e| e.to_str());
        let format = [Format::OneLine, Format::Deb822].into_iter().find(|f| extension == Some(f.extension()));
        if let Some(format) = format {
            let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            files.push(SourceFile { format, text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::packages::PACKAGES;
    use super::*;

    #[test]
    fn os_release_fields_are_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(os_release_field(text, "ID"), Some("debian"));
        assert_eq!(os_release_field(text, "VERSION_ID"), Some("12"));
        assert_eq!(os_release_field(text, "VERSION_CODENAME"), Some("bookworm"));
        assert_eq!(os_release_field(text, "VERSION"), None);
    }

    #[test]
    fn source_packages_come_from_where_packages_do() {
        let line = "deb [arch=amd64] http://m.example/debian bookworm main\n";
        assert_eq!(of_source_packages(line), "deb-src [arch=amd64] http://m.example/debian bookworm main\n");
        let stanza = "Types: deb\nSuites: bookworm\nComponents: main\nURIs: http://m.example/debian\n";
        assert_eq!(of_source_packages(stanza), stanza.replacen("deb", "deb-src", 1));
    }

    #[test]
    fn a_plan_is_printed_as_commands() {
        let plan = Plan {
            source: Some(("/etc/apt/sources.list.d/x.sources".into(), "Types: deb\n".into())),
            packages: vec!["qemu-system-arm/bookworm-backports".into(), "clang-19".into()],
        };
        assert_eq!(
            plan.to_string(),
            "  cat > /etc/apt/sources.list.d/x.sources <<'END'\nTypes: deb\nEND\n  apt-get update\n  \
             apt-get install --yes --no-remove --no-install-recommends qemu-system-arm/bookworm-backports clang-19"
        );
    }

    #[test]
    fn an_emulator_takes_its_parts_from_the_backports_and_what_is_there_of_qemu() {
        let arm = PACKAGES.iter().find(|p| p.name == "qemu-system-arm").unwrap();
        let names = backported(&[arm], &["qemu-utils".to_owned(), "qemu-system-common".to_owned()]);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(names, ["qemu-system-arm", "qemu-system-common", "qemu-system-data", "qemu-utils"]);
    }

    #[test]
    fn every_emulator_has_its_companions() {
        for package in PACKAGES.iter().filter(|p| p.is_qemu()) {
            assert!(BACKPORTED_WITH.iter().any(|(name, _)| *name == package.name), "{}", package.name);
        }
    }
}
