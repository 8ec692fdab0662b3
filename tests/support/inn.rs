//! A private INN (Debian's `inn2`, 2.7) in a temporary folder: `innd` for peers, `nnrpd -D` for
//! readers on a port of its own, and innfeed towards the peers it is told of.
//!
//! Set up as a fast text site would: CNFS buffers (no file per article), tradindexed overview
//! kept by innd itself, `hisv6` history, no filters, no cutoff. Both daemons refuse to be root, so
//! under root they run as Debian's user `news`, who owns the folder.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::client::Client;
use super::process::{free_port, kill_group, temp_dir, terminate, text_of, wait_until};

/// Where Debian's package keeps the programs.
const PATH_BIN: &str = "/usr/lib/news/bin";
const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Whom INN feeds by innfeed.
#[derive(Debug, Clone)]
pub struct FeedTo {
    pub name: String,
    /// Articles with this in their Path are not sent.
    pub identity: String,
    pub port: u16,
}

/// How an INN is to be set up.
#[derive(Debug, Clone)]
pub struct InnSetup {
    pub identity: String,
    pub newsgroups: Vec<String>,
    pub feed_to: Vec<FeedTo>,
    /// Where peers connect; any free port by default.
    pub port: Option<u16>,
    /// Size of the CNFS buffer. Older articles are overwritten once it is full.
    pub spool_mib: u64,
    /// Writes history, active and the end of the CNFS buffer after every article, not after every tenth
    /// or 25th: the least that a kill can cost it.
    pub careful: bool,
}

impl InnSetup {
    pub fn new(identity: &str, newsgroups: &[&str]) -> Self {
        let newsgroups = newsgroups.iter().map(|name| (*name).to_owned()).collect();
        Self {
            identity: identity.to_owned(),
            newsgroups,
            feed_to: Vec::new(),
            port: None,
            spool_mib: 64,
            careful: false,
        }
    }

    pub fn feeding(mut self, name: &str, identity: &str, port: u16) -> Self {
        self.feed_to.push(FeedTo { name: name.to_owned(), identity: identity.to_owned(), port });
        self
    }
}

/// A running INN. Stopped on drop.
#[derive(Debug)]
pub struct Inn {
    home: Home,
    innd: Child,
    nnrpd: Child,
    /// Where peers connect.
    pub port: u16,
    /// Where readers connect.
    pub reader_port: u16,
    /// The folder that `home` describes; removed last.
    _dir: TempDir,
}

/// Whether INN is on this machine.
pub fn is_installed() -> bool {
    Path::new(PATH_BIN).join("innd").exists()
}

/// The user that the daemons run as: `news` under root, else whoever we are.
#[derive(Debug, Clone)]
struct NewsUser {
    name: String,
    group: String,
    /// The ids to change to; `None` when we are not root.
    change_to: Option<(u32, u32)>,
}

impl Inn {
    /// Sets up an INN as `setup` says, starts it and waits until both ports answer.
    ///
    /// # Errors
    /// A plain line about what is missing or did not start, with INN's own last words.
    pub fn start(setup: &InnSetup) -> Result<Self, String> {
        if !is_installed() {
            return Err(format!("no INN in {PATH_BIN}: apt-get install inn2"));
        }
        let user = NewsUser::find()?;
        let dir = temp_dir();
        let (port, reader_port) = (setup.port.unwrap_or_else(free_port), free_port());
        let home = Home { root: dir.path().to_owned(), user };
        home.write(setup, port).map_err(|e| format!("INN's folder: {e}"))?;
        home.make_history()?;

        let innd = home.spawn("innd", &["-f"])?;
        let listen = reader_port.to_string();
        let nnrpd = home.spawn("nnrpd", &["-D", "-f", "-b", "127.0.0.1", "-p", &listen])?;
        let mut inn = Self { home, innd, nnrpd, port, reader_port, _dir: dir };
        for port in [port, reader_port] {
            let answers = || Client::connect(port).is_ok_and(|c| c.greeting.starts_with("20"));
            if !wait_until(START_WITHIN, answers) {
                return Err(format!("INN does not answer on port {port}: {}", inn.last_words()));
            }
        }
        if let Ok(Some(status)) = inn.innd.try_wait() {
            return Err(format!("innd ended at once ({status}): {}", inn.last_words()));
        }
        Ok(inn)
    }

    /// kill -9 of innd and its innfeed. Readers' nnrpd stays.
    pub fn kill9(&mut self) {
        kill_group(&self.innd);
        let _ = self.innd.kill();
        let _ = self.innd.wait();
    }

    /// Starts innd again as after a crash, and hands it what nnrpd has put aside meanwhile.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_again(&mut self) -> Result<(), String> {
        // -r: the active file may be behind the overview.
        self.innd = self.home.spawn("innd", &["-f", "-r"])?;
        let answers = || Client::connect(self.port).is_ok_and(|c| c.greeting.starts_with("20"));
        if !wait_until(START_WITHIN, answers) {
            return Err(format!("INN does not come back: {}", self.last_words()));
        }
        let unspooled = self.home.command("rnews", &["-U"]).output().map_err(|e| format!("rnews: {e}"))?;
        if !unspooled.status.success() {
            eprintln!("rnews -U: {}", String::from_utf8_lossy(&unspooled.stderr));
        }
        Ok(())
    }

    /// The process id of innd (transfer) ...
    pub fn innd_pid(&self) -> u32 {
        self.innd.id()
    }

    /// ... and of the nnrpd that forks one child per reader.
    pub fn nnrpd_pid(&self) -> u32 {
        self.nnrpd.id()
    }

    /// What INN wrote where we can see it.
    pub fn last_words(&self) -> String {
        let log = self.home.root.join("log");
        ["errlog", "innd.out", "nnrpd.out", "news"].map(|name| text_of(&log.join(name))).join("\n")
    }
}

impl Drop for Inn {
    fn drop(&mut self) {
        terminate(&mut self.nnrpd, STOP_WITHIN);
        kill_group(&self.nnrpd);
        // An idle innd sleeps through SIGTERM until its next event; ctlinnd is such an event.
        let _ = self.home.command("ctlinnd", &["-s", "-t", "10", "shutdown", "done"]).status();
        wait_until(STOP_WITHIN, || matches!(self.innd.try_wait(), Ok(Some(_)) | Err(_)));
        kill_group(&self.innd);
        let _ = self.innd.wait();
    }
}

impl NewsUser {
    fn find() -> Result<Self, String> {
        let passwd = text_of(Path::new("/etc/passwd"));
        let entry = |wanted: &dyn Fn(&str, u32) -> bool| {
            passwd.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                let uid: u32 = fields.nth(1)?.parse().ok()?;
                let gid: u32 = fields.next()?.parse().ok()?;
                wanted(name, uid).then(|| (name.to_owned(), uid, gid))
            })
        };
        let me = rustix::process::getuid();
        let found = if me.is_root() {
            entry(&|name, _| name == "news").ok_or("there is no user news: apt-get install inn2")?
        } else {
            entry(&|_, uid| uid == me.as_raw()).ok_or("we are not in /etc/passwd")?
        };
        let (name, uid, gid) = found;
        let group = text_of(Path::new("/etc/group"))
            .lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)?.parse::<u32>().ok()? == gid).then(|| name.to_owned())
            })
            .ok_or("our group is not in /etc/group")?;
        Ok(Self { name, group, change_to: me.is_root().then_some((uid, gid)) })
    }
}

/// The folder of one INN.
#[derive(Debug)]
struct Home {
    root: PathBuf,
    user: NewsUser,
}

impl Home {
    fn write(&self, setup: &InnSetup, port: u16) -> io::Result<()> {
        for folder in ["etc", "db", "run", "log", "spool", "overview", "filter", "http", "tmp"] {
            fs::create_dir(self.root.join(folder))?;
        }
        for folder in ["articles", "incoming", "incoming/bad", "outgoing", "innfeed", "archive"] {
            fs::create_dir(self.root.join("spool").join(folder))?;
        }
        self.put("etc/inn.conf", &self.inn_conf(setup, port))?;
        self.put("etc/storage.conf", "method cnfs {\n newsgroups: *\n class: 0\n options: TEXT\n}\n")?;
        let buffer = self.root.join("spool/cnfs");
        let size_kib = setup.spool_mib * 1024;
        // What a CNFS buffer has behind the end that it knows of is overwritten after a kill.
        let updates = if setup.careful { 1 } else { 25 };
        self.put(
            "etc/cycbuff.conf",
            &format!(
                "cycbuffupdate:{updates}\ncycbuff:ONE:{}:{size_kib}\nmetacycbuff:TEXT:ONE\n",
                buffer.display()
            ),
        )?;
        let file = fs::File::create(buffer)?;
        // Blocks are reserved before, as dd would have done it on a real site.
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size_kib * 1024)?;
        self.put(
            "etc/incoming.conf",
            "streaming: true\nmax-connections: 0\nskip: false\n\
             peer LOAD {\n hostname: \"127.0.0.1\"\n patterns: *\n}\n",
        )?;
        self.put(
            "etc/readers.conf",
            "auth all {\n hosts: \"127.0.0.1\"\n default: \"<localhost>\"\n}\n\
             access all {\n users: \"<localhost>\"\n newsgroups: \"*\"\n access: RPAN\n}\n",
        )?;
        self.put("etc/expire.ctl", "/remember/:11\n*:A:1:90:never\n")?;
        self.put("etc/control.ctl", "all:*:*:drop\n")?;
        for name in ["moderators", "distrib.pats", "subscriptions", "localgroups"] {
            self.put(&format!("etc/{name}"), "")?;
        }
        self.put("etc/newsfeeds", &newsfeeds(setup))?;
        self.put("etc/innfeed.conf", &innfeed_conf(setup))?;
        let mut active = String::new();
        let mut newsgroups = String::new();
        let mut times = String::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let standard = ["control", "control.cancel", "junk"].into_iter();
        for name in standard.chain(setup.newsgroups.iter().map(String::as_str)) {
            let status = if name.starts_with("control") || name == "junk" { 'n' } else { 'y' };
            active.push_str(&format!("{name} 0000000000 0000000001 {status}\n"));
            times.push_str(&format!("{name} {now} news\n"));
            newsgroups.push_str(&format!("{name}\tA newsgroup.\n"));
        }
        self.put("db/active", &active)?;
        self.put("db/newsgroups", &newsgroups)?;
        self.put("db/active.times", &times)?;
        self.put("db/history", "")?;
        self.give_to_user(&self.root)
    }

    fn inn_conf(&self, setup: &InnSetup, port: u16) -> String {
        let root = self.root.display();
        let NewsUser { name, group, .. } = &self.user;
        let identity = &setup.identity;
        let sync = if setup.careful { 1 } else { 10 };
        format!(
            "mta: \"/bin/true %s\"\nmailcmd: /bin/true\nrunasuser: {name}\nrunasgroup: {group}\n\
             pathhost: {identity}\ndomain: {identity}\nfromhost: {identity}\norganization: none\n\
             bindaddress: 127.0.0.1\nport: {port}\n\
             hismethod: hisv6\novmethod: tradindexed\nenableoverview: true\nwireformat: true\n\
             artcutoff: 0\nmaxartsize: 10000000\nlocalmaxartsize: 10000000\nmaxconnections: 0\n\
             noreader: true\nmaxforks: 10\nnnrpdloadlimit: 0\n\
             peertimeout: 3600\nclienttimeout: 3600\ninitialtimeout: 60\ndoinnwatch: false\n\
             pgpverify: false\nlogartsize: false\nlogstatus: false\nhtmlstatus: false\n\
             status: 0\ntimer: 0\nicdsynccount: {sync}\nchanretrytime: 5\ntradindexedmmap: true\narticlemmap: true\n\
             pathnews: /usr/lib/news\npathbin: {PATH_BIN}\npathcontrol: {PATH_BIN}/control\n\
             pathetc: {root}/etc\npathdb: {root}/db\npathrun: {root}/run\npathlog: {root}/log\n\
             pathspool: {root}/spool\npatharticles: {root}/spool/articles\n\
             pathincoming: {root}/spool/incoming\npathoutgoing: {root}/spool/outgoing\n\
             patharchive: {root}/spool/archive\npathoverview: {root}/overview\n\
             pathfilter: {root}/filter\npathhttp: {root}/http\npathtmp: {root}/tmp\n"
        )
    }

    /// An empty history: its index files are made under another name and moved into place.
    fn make_history(&self) -> Result<(), String> {
        let made = self
            .command("makedbz", &["-i", "-o", "-s", "2000000"])
            .output()
            .map_err(|e| format!("makedbz: {e}"))?;
        if !made.status.success() {
            return Err(format!("makedbz: {}", String::from_utf8_lossy(&made.stderr)));
        }
        Ok(())
    }

    fn spawn(&self, program: &str, args: &[&str]) -> Result<Child, String> {
        let out = fs::File::create(self.root.join(format!("log/{program}.out")));
        let out = out.map_err(|e| format!("{program}: {e}"))?;
        let err = out.try_clone().map_err(|e| format!("{program}: {e}"))?;
        self.command(program, args).stdout(out).stderr(err).spawn().map_err(|e| format!("{program}: {e}"))
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(Path::new(PATH_BIN).join(program));
        command.args(args).current_dir(&self.root).env("INNCONF", self.root.join("etc/inn.conf"));
        command.stdin(Stdio::null()).process_group(0);
        if let Some((uid, gid)) = self.user.change_to {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.root.join(name), text)
    }

    fn give_to_user(&self, path: &Path) -> io::Result<()> {
        let Some((uid, gid)) = self.user.change_to else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_to_user(&entry?.path())?;
            }
        }
        Ok(())
    }
}

fn newsfeeds(setup: &InnSetup) -> String {
    let mut text = String::from("ME:*,!junk,!control,!control.*::\n");
    if !setup.feed_to.is_empty() {
        text.push_str(&format!("innfeed!:!*:Tc,Wnm*:{PATH_BIN}/innfeed\n"));
    }
    for FeedTo { name, identity, .. } in &setup.feed_to {
        text.push_str(&format!("{name}/{identity}:*:Tm:innfeed!\n"));
    }
    text
}

fn innfeed_conf(setup: &InnSetup) -> String {
    let mut text = String::from(
        // What comes in before the first connection is put aside and fed from files later, after
        // minutes by default: seconds will do here.
        "initial-sleep: 1\nbacklog-highwater: 10000\nbacklog-rotate-period: 2\n\
         backlog-newfile-period: 2\nbacklog-ckpt-period: 2\nhost-queue-highwater: 10000\n\
         initial-reconnect-time: 1\nmax-reconnect-time: 2\ngen-html: false\nmax-queue-size: 100\n\
         initial-connections: 1\nmax-connections: 2\nstreaming: true\nresponse-timeout: 30\n",
    );
    for FeedTo { name, port, .. } in &setup.feed_to {
        text.push_str(&format!("peer {name} {{\n ip-name: 127.0.0.1\n port-number: {port}\n}}\n"));
    }
    text
}
