//! A disk that is full is our trouble: articles are put off on the wire (400 and close, 436, 441 with
//! "try again"), never rejected, and taken when there is room again.
#![allow(clippy::unwrap_used, missing_docs)]

use feedd::article::NewsgroupName;
use feedd::config::Config;
use feedd::intake::{ImportRules, Intake, Origin};
use feedd::net::{Admitted, Service, serve};
use feedd::session::Rights;
use feedd::store::{Disk, GroupStatus, Options, RealDisk, Store};
use feedd::transport::Transport;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Filling {
    full: AtomicBool,
}

impl Disk for Filling {
    fn write(&self, file: &File, segment: u32, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, segment, offset, parts)
    }

    fn sync(&self, file: &File, segment: u32) -> io::Result<()> {
        RealDisk.sync(file, segment)
    }
}

/// Says everything at once, ends, and returns the codes of the replies behind the greeting.
async fn codes(service: &Arc<Service>, said: String) -> Vec<String> {
    let rights = Rights { read: true, post: true, offer: true, turn: false };
    let relay = Some(Origin::Import(ImportRules { no_cutoff: true, ..ImportRules::default() }));
    let admitted = Admitted::operator("tester", rights, relay);
    let (mut client, server) = UnixStream::pair().unwrap();
    let serving =
        tokio::spawn(serve(Transport::unix(server), service.clone(), admitted, None, service.stop.clone()));
    client.write_all(said.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    serving.await.unwrap();
    replies.lines().skip(1).map(|line| line[..3].to_owned()).collect()
}

fn article(n: u32) -> String {
    format!(
        "Path: peer.example!not-for-mail\r\nFrom: a@example.com\r\nNewsgroups: misc.test\r\nSubject: {n}\r\n\
         Date: Thu, 19 Nov 2020 20:00:00 +0000\r\nMessage-ID: <{n}@full.example>\r\n\r\nbody\r\n.\r\n"
    )
}

fn takethis(n: u32) -> String {
    format!("TAKETHIS <{n}@full.example>\r\n{}", article(n))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_puts_articles_off_and_rejects_none() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Filling::default());
    let options = Options { disk: disk.clone(), ..Options::new(folder.path(), "site.example") };
    let store = Store::open(options).unwrap();
    let group = NewsgroupName::try_from("misc.test").unwrap();
    store.set_group(&group, GroupStatus::Posting, "", "tester").unwrap();
    let site = Arc::new(Config::built_in().site);
    let intake = Intake::new(store.clone(), site.clone());
    let identity = site.identity.to_string();
    let stop = CancellationToken::new();
    let service = Arc::new(Service::new(store.clone(), intake, identity, site.limits.clone(), stop));

    disk.full.store(true, Ordering::SeqCst);
    // 400 is the last word: what was owed behind it is offered again.
    let pipelined = takethis(1) + "CHECK <9@full.example>\r\n" + &takethis(2) + "DATE\r\n";
    assert_eq!(codes(&service, pipelined).await, ["400"]);
    let ihave = format!("IHAVE <1@full.example>\r\n{}", article(1));
    assert_eq!(codes(&service, ihave).await, ["335", "436"]);
    let post = "POST\r\nFrom: a@example.com\r\nNewsgroups: misc.test\r\nSubject: x\r\n\r\nbody\r\n.\r\n";
    assert_eq!(codes(&service, post.to_owned()).await, ["340", "441"]);

    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(codes(&service, takethis(1) + &takethis(2) + &takethis(1)).await, ["239", "239", "439"]);
    assert_eq!(store.group("misc.test").unwrap().marks().high, 2, "no number was lost");
    store.close();
}
