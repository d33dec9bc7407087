//! Version numbers of Debian packages and of QEMU, as far as the first number goes.

/// The oldest QEMU that the tests are run with: Debian 12's own 7.2 is below it, its backports' 10.0 above.
pub(super) const MIN_QEMU_MAJOR: u64 = 9;

/// The upstream's first number of a Debian version, `[epoch:]upstream[-revision]` (deb-version(7)).
pub(super) fn major_of_package(version: &str) -> Option<u64> {
    let upstream = version.split_once(':').map_or(version, |(_, upstream)| upstream);
    leading_number(upstream)
}

/// The first number in `QEMU emulator version 10.0.2 (Debian ...)`.
pub(super) fn major_of_qemu(printed: &str) -> Option<u64> {
    leading_number(printed.split_once("version ")?.1)
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The candidate that `apt-cache policy PACKAGE` names, if apt knows the package.
pub(super) fn candidate(policy: &str) -> Option<&str> {
    let line = policy.lines().find_map(|line| line.trim_start().strip_prefix("Candidate:"))?;
    Some(line.trim()).filter(|version| *version != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_version_has_a_major_number_with_and_without_an_epoch() {
        assert_eq!(major_of_package("1:7.2+dfsg-7+deb12u18+b3"), Some(7));
        assert_eq!(major_of_package("1:10.0.2+ds-2+deb13u1~bpo12+1"), Some(10));
        assert_eq!(major_of_package("8.2.2"), Some(8));
        assert_eq!(major_of_package("9"), Some(9));
        assert_eq!(major_of_package("1:"), None);
        assert_eq!(major_of_package("unknown"), None);
    }

    #[test]
    fn qemu_tells_its_version() {
        let printed =
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c) ...";
        assert_eq!(major_of_qemu(printed), Some(10));
        assert_eq!(major_of_qemu("QEMU emulator version 7.2.19"), Some(7));
        assert_eq!(major_of_qemu("command not found"), None);
    }

    #[test]
    fn seven_is_too_old_and_ten_is_not() {
        let new_enough = |version| major_of_package(version).unwrap() >= MIN_QEMU_MAJOR;
        assert!(!new_enough("1:7.2+dfsg-7+deb12u18+b3"));
        assert!(!new_enough("1:8.2.2+ds-0ubuntu1"));
        assert!(new_enough("1:9.0.0+ds-1"));
        assert!(new_enough("1:10.0.2+ds-2+deb13u1~bpo12+1"));
    }

    #[test]
    fn a_candidate_is_read_from_what_apt_prints() {
        let known = "qemu-system-arm:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n";
        assert_eq!(candidate(known), Some("1:7.2+dfsg-7"));
        assert_eq!(candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }
}
