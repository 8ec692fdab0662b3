//! The site that a stranger comes to, and a second one where all that the first one takes must
//! arrive unchanged.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::ARRIVES_WITHIN;
use crate::support::articles::{field, what_travels};
use crate::support::process::{free_port, wait_until};
use crate::support::site::{FEEDD, Site, beside_the_project};

pub const NEWSGROUP: &str = "test.a";
pub const USER: &str = "reader";
pub const PASSWORD: &str = "open sesame";
pub const SUBJECT: &str = "Gr\u{fc}\u{df}e aus K\u{f6}ln";
/// A body that asks for dot-stuffing and for eight bits.
pub const BODY: &str = "A line.\n.a line with a dot\n..two dots\n.\nGr\u{fc}\u{df}e aus K\u{f6}ln.\n";
/// An article that is there when a stranger comes, with that subject and that body.
pub const READ: &str = "<first@load.example>";
/// A stranger that hangs ends after these seconds.
const PATIENCE_S: &str = "60";

/// How a stranger comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// In clear and without a name.
    Plain,
    /// STARTTLS, then a login.
    StartTls,
    /// TLS from the first octet, then a login.
    Tls,
}

/// A site with a door for strangers.
pub struct Entrance {
    pub site: Site,
    pub door: Door,
    tls_port: u16,
}

impl Entrance {
    /// A site folder; behind TLS nobody reads or posts without the account [`USER`].
    pub fn init(identity: &str, door: Door) -> Self {
        let tls_port = free_port();
        if door == Door::Plain {
            return Self { site: Site::init(identity, &[NEWSGROUP]), door, tls_port };
        }
        let listen = format!("127.0.0.1:{tls_port}");
        let secured = ["--listen-tls", &listen, "--self-signed", "--require-login"];
        let site = Site::init_with(identity, &[NEWSGROUP], &secured);
        let mut add = Command::new(FEEDD)
            .args(["user", "add", USER, "--password-stdin", "-c"])
            .arg(site.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(add.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(add.wait().unwrap().success());
        Self { site, door, tls_port }
    }

    pub fn port(&self) -> u16 {
        if self.door == Door::Tls { self.tls_port } else { self.site.port }
    }

    pub fn certificate(&self) -> PathBuf {
        self.site.dir().join("tls/certificate.pem")
    }

    /// Runs a stranger to its end, with all it should know in its environment.
    #[track_caller]
    pub fn runs(&self, stranger: &mut Command) -> Output {
        let mut bounded = Command::new("timeout");
        bounded.arg(PATIENCE_S).arg(stranger.get_program()).args(stranger.get_args());
        bounded.envs(stranger.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = stranger.get_current_dir() {
            bounded.current_dir(folder);
        }
        bounded
            .env("NODE_PATH", node_modules())
            .env("LC_ALL", "C.UTF-8")
            .env("INTEROP_PORT", self.port().to_string())
            .env("INTEROP_NEWSGROUP", NEWSGROUP)
            .env("INTEROP_READ", READ)
            .env("INTEROP_SUBJECT", SUBJECT)
            .env("INTEROP_BODY", BODY)
            .stdin(Stdio::null());
        if self.door != Door::Plain {
            bounded
                .env("INTEROP_TLS", if self.door == Door::Tls { "tls" } else { "starttls" })
                .env("INTEROP_CERTIFICATE", self.certificate())
                .env("INTEROP_USER", USER)
                .env("INTEROP_PASSWORD", PASSWORD);
        }
        bounded.output().unwrap()
    }

    /// Runs a stranger, which must succeed; what it says on standard output.
    #[track_caller]
    pub fn hears(&self, stranger: &mut Command) -> String {
        let ran = self.runs(stranger);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{stranger:?}: {}\n{said}{complained}", ran.status);
        said
    }
}

/// The entrance, and the site behind it.
pub struct Host {
    pub entrance: Entrance,
    other: Site,
}

impl Host {
    /// Both run, and [`READ`] is at both.
    pub fn start(door: Door) -> Self {
        let mut entrance = Entrance::init("a.example", door);
        let mut other = Site::init("b.example", &[NEWSGROUP]);
        entrance.site.peer_with(&other);
        other.peer_with(&entrance.site);
        other.start();
        entrance.site.start();
        let article = format!(
            "From: A Poster <poster@load.example>\r\nNewsgroups: {NEWSGROUP}\r\nSubject: {SUBJECT}\r\n\
             Message-ID: {READ}\r\n\r\n{}.\r\n",
            stuffed()
        );
        let answer = other.client().post(article.as_bytes()).unwrap();
        assert!(answer.starts_with("240"), "{answer}");
        let mut peer = entrance.site.client();
        let offer = format!("CHECK {READ}");
        assert!(wait_until(ARRIVES_WITHIN, || peer.ask(&offer).unwrap().starts_with("438")));
        Self { entrance, other }
    }

    /// What a stranger posted comes to the second site as it was meant: [`BODY`] to the octet, and
    /// one of these subjects ([`SUBJECT`], or as RFC 2047 writes it).
    #[track_caller]
    pub fn got(&self, id: &str, subjects: &[&str]) {
        let mut reader = self.other.client();
        assert!(wait_until(ARRIVES_WITHIN, || reader.has(id)), "{id} does not arrive");
        let article = reader.article(id).unwrap();
        let (_, body) = what_travels(&article);
        assert_eq!(String::from_utf8_lossy(&body), format!("\n{BODY}"));
        let subject = field(&article, "Subject").unwrap();
        assert!(subjects.contains(&subject.as_str()), "{subject}");
        assert!(!self.entrance.site.log().contains("panicked"), "{}", self.entrance.site.log());
    }
}

/// [`BODY`] in wire form.
pub fn stuffed() -> String {
    BODY.lines().map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect()
}

/// Where `.ci/run` puts packages of npm.
pub fn node_modules() -> PathBuf {
    beside_the_project("target/strangers/node_modules")
}

/// Is the stranger there, which this command shows? If not, says where it comes from.
pub fn is_there(shows: &str, package: &str) -> bool {
    let shell = Command::new("sh").args(["-c", shows]).env("NODE_PATH", node_modules()).output();
    let there = shell.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {package} is not installed");
    }
    there
}
