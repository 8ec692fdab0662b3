//! A file's name: in the subject of its articles, and on the disk of who fetches it.

/// Octets of a name on disk, so that what is added to it while it is fetched still fits.
const NAME_MAX: usize = 200;

/// Where a part stands in what is posted together.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The file, from 1, and how many there are.
    pub file: (usize, usize),
    /// The part, from 1, and how many the file has.
    pub part: (u32, u32),
}

/// The subject of a part in the customary form: `words [1/3] - "name" yEnc (1/143) 104857600`.
pub fn compose(words: Option<&str>, place: Place, name: &str, file_size: u64) -> String {
    let words = words.map(|words| format!("{words} ")).unwrap_or_default();
    let name: String = name.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).collect();
    let Place { file: (file, files), part: (part, parts) } = place;
    format!("{words}[{file}/{files}] - \"{name}\" yEnc ({part}/{parts}) {file_size}")
}

/// The name between quotation marks, if the subject has one.
pub fn name(subject: &str) -> Option<&str> {
    let (_, quoted) = subject.split_once('"')?;
    let (name, _) = quoted.rsplit_once('"')?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

/// A name that is one entry of the folder it is put into, is not hidden and writes nothing to a
/// terminal, whatever a stranger called the file: folders before it are left out.
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    // Characters that turn the direction of writing around make another name of it.
    let turns =
        |c: char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::new();
    for c in last.trim().chars() {
        let c =
            if c.is_control() || turns(c) || (safe.is_empty() && matches!(c, '.' | '-')) { '_' } else { c };
        if safe.len() + c.len_utf8() > NAME_MAX {
            break;
        }
        safe.push(c);
    }
    if safe.is_empty() { "unnamed".to_owned() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_their_file() {
        let place = Place { file: (1, 3), part: (7, 143) };
        let subject = compose(None, place, "a \"b\".bin", 104_857_600);
        assert_eq!(subject, "[1/3] - \"a _b_.bin\" yEnc (7/143) 104857600");
        assert_eq!(name(&subject), Some("a _b_.bin"));
        assert_eq!(compose(Some("look"), place, "x", 1), "look [1/3] - \"x\" yEnc (7/143) 1");
        assert_eq!(name("no name (1/2)"), None);
        assert_eq!(name("\" \""), None);
        assert_eq!(name("\""), None);
    }

    #[test]
    fn names_stay_in_their_folder() {
        for (name, safe) in [
            ("a b.bin", "a b.bin"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.bin", "y.bin"),
            ("/", "unnamed"),
            ("", "unnamed"),
            (" ", "unnamed"),
            (".", "_"),
            ("..", "_."),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("a\u{1b}[2J\nb\0", "a_[2J_b_"),
            ("gpj.\u{202e}exe", "gpj._exe"),
            ("äöü.txt", "äöü.txt"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        assert_eq!(safe_name(&"ä".repeat(500)).len(), NAME_MAX);
    }
}
