//! A small NNTP receiver that does as it is told, and remembers everything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the receiver answers to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 238, 239; 335, 235.
    Take,
    /// 438, 439; 435.
    Refuse,
    /// 238, then 439; 335, then 437.
    Reject,
    /// 431; 436.
    Defer,
    /// Nothing: the connection is dropped, after the article if there is one.
    Drop,
    /// Nothing at all: the sender waits.
    Silence,
}

/// What a receiver knows of one Message-ID.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// CHECK, IHAVE, or TAKETHIS without CHECK.
    pub offers: usize,
    /// TAKETHIS, or articles behind 335.
    pub transfers: usize,
    /// The article, once it is taken.
    pub article: Option<Vec<u8>>,
    /// It was rejected for good.
    pub rejected: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub stories: BTreeMap<String, Story>,
    pub connections: usize,
    /// Articles that came without CHECK.
    pub straight: usize,
    /// More than one IHAVE was under way.
    pub pipelined_ihave: bool,
}

impl Ledger {
    pub fn taken(&self) -> usize {
        self.stories.values().filter(|story| story.article.is_some()).count()
    }
}

type Rule = Arc<dyn Fn(&str, &Story) -> Answer + Send + Sync>;

/// A running receiver.
pub struct Receiver {
    pub address: SocketAddr,
    pub ledger: Arc<Mutex<Ledger>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Desk {
    ledger: Arc<Mutex<Ledger>>,
    changed: Arc<watch::Sender<u64>>,
    rule: Rule,
    streaming: bool,
}

impl Receiver {
    /// Listens on a free port. `rule` judges each offer, knowing what went before.
    pub async fn start(rule: impl Fn(&str, &Story) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), true, rule).await
    }

    pub async fn start_on(
        address: SocketAddr,
        streaming: bool,
        rule: impl Fn(&str, &Story) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (tell, changed) = watch::channel(0);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let desk = Desk { ledger: ledger.clone(), changed: Arc::new(tell), rule: Arc::new(rule), streaming };
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                desk.tell(|ledger| ledger.connections += 1);
                let desk = desk.clone();
                // A connection that breaks is the sender's trouble.
                connections.spawn(async move { drop(desk.serve(stream).await) });
            }
        });
        Self { address, ledger, changed, task }
    }

    /// Waits until the ledger satisfies `done`.
    pub async fn until(&self, what: &str, done: impl Fn(&Ledger) -> bool) {
        let mut changed = self.changed.clone();
        let waiting = changed.wait_for(|_| done(&self.ledger.lock().unwrap()));
        assert!(
            tokio::time::timeout(DEADLINE, waiting).await.is_ok(),
            "not within the deadline: {what}; {} taken",
            self.ledger.lock().unwrap().taken()
        );
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    fn tell<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let told = change(&mut self.ledger.lock().unwrap());
        self.changed.send_modify(|version| *version += 1);
        told
    }

    fn judge(&self, id: &str) -> Answer {
        self.tell(|ledger| {
            let story = ledger.stories.entry(id.to_owned()).or_default();
            story.offers += 1;
            if story.article.is_some() || story.rejected { Answer::Refuse } else { (self.rule)(id, story) }
        })
    }

    /// Keeps or rejects an article; says if it is (or was) kept.
    fn keep(&self, id: &str, answer: Answer, article: Vec<u8>) -> bool {
        self.tell(|ledger| {
            let story = ledger.stories.entry(id.to_owned()).or_default();
            story.transfers += 1;
            match answer {
                Answer::Take | Answer::Drop if story.article.is_none() => {
                    story.article = Some(article);
                    true
                }
                Answer::Reject => {
                    story.rejected = true;
                    false
                }
                _ => false,
            }
        })
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        writer.write_all(b"200 receiver\r\n").await?;
        let mut checked = BTreeMap::new();
        while let Some(line) = line(&mut reader).await? {
            let (word, id) = line.split_once(' ').unwrap_or((&line, ""));
            let go_on = match word {
                "CAPABILITIES" => {
                    let streaming = if self.streaming { "STREAMING\r\n" } else { "" };
                    let list = format!("101 list\r\nVERSION 2\r\nIHAVE\r\n{streaming}.\r\n");
                    writer.write_all(list.as_bytes()).await?;
                    true
                }
                "CHECK" => {
                    let answer = self.judge(id);
                    checked.insert(id.to_owned(), answer);
                    let code = match answer {
                        Answer::Take | Answer::Reject => 238,
                        Answer::Refuse => 438,
                        Answer::Defer => 431,
                        Answer::Drop => 0,
                        Answer::Silence => continue,
                    };
                    reply(&mut writer, code, id).await?
                }
                "TAKETHIS" => {
                    let article = block(&mut reader).await?;
                    let answer = match checked.remove(id) {
                        Some(answer) => answer,
                        None => {
                            self.tell(|ledger| ledger.straight += 1);
                            self.judge(id)
                        }
                    };
                    let kept = self.keep(id, answer, article);
                    // TAKETHIS has no "later" (RFC 4644 s.2.5.2): 400 and close.
                    let code = match answer {
                        Answer::Drop => 0,
                        Answer::Defer => 400,
                        _ if kept => 239,
                        _ => 439,
                    };
                    reply(&mut writer, code, id).await? && code != 400
                }
                "IHAVE" => self.ihave(&mut reader, &mut writer, id).await?,
                "QUIT" => {
                    writer.write_all(b"205 bye\r\n").await?;
                    false
                }
                _ => {
                    writer.write_all(b"500 what?\r\n").await?;
                    true
                }
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    async fn ihave(
        &self,
        reader: &mut BufReader<OwnedReadHalf>,
        writer: &mut OwnedWriteHalf,
        id: &str,
    ) -> std::io::Result<bool> {
        if !reader.buffer().is_empty() {
            self.tell(|ledger| ledger.pipelined_ihave = true);
        }
        let answer = self.judge(id);
        match answer {
            Answer::Refuse => return reply(writer, 435, "no").await,
            Answer::Defer => return reply(writer, 436, "later").await,
            Answer::Drop => return Ok(false),
            Answer::Silence => return Ok(true),
            Answer::Take | Answer::Reject => {}
        }
        reply(writer, 335, "send it").await?;
        let article = block(reader).await?;
        let code = if self.keep(id, answer, article) { 235 } else { 437 };
        reply(writer, code, "so be it").await
    }
}

/// Code 0: no reply, and the connection is to be dropped.
async fn reply(writer: &mut OwnedWriteHalf, code: u16, text: &str) -> std::io::Result<bool> {
    if code == 0 {
        return Ok(false);
    }
    writer.write_all(format!("{code} {text}\r\n").as_bytes()).await?;
    Ok(true)
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let octets = reader.read_line(&mut line).await?;
    Ok((octets > 0).then(|| line.trim_end().to_owned()))
}

/// A data block as it came, terminator included.
async fn block(reader: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Vec<u8>> {
    let mut block = Vec::new();
    loop {
        let start = block.len();
        if reader.read_until(b'\n', &mut block).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &block[start..] == b".\r\n" {
            return Ok(block);
        }
    }
}
