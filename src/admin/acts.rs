//! The requests that a store alone can answer.

use super::protocol::{EntryRow, GroupRow, Request, Response};
use crate::agent::JUNK;
use crate::article::{MessageId, NewsgroupName};
use crate::store::{GroupStatus, ReadError, Store, StoreError, Wait};
use crate::wildmat::Wildmat;

/// The highest article number there is (RFC 3977 s.6).
const NUMBER_MAX: u64 = 2_147_483_647;

/// Answers what needs nothing but the store; none for a request that needs more. Waits for the disk.
pub fn from_store(store: &Store, request: &Request) -> Option<Response> {
    let answer = match request {
        Request::GroupAdd { name, status, description, next } => {
            group_add(store, name, status.as_deref(), description.as_deref(), *next)
        }
        Request::GroupRemove { name } => group_remove(store, name),
        Request::GroupList { wildmat } => group_list(store, wildmat.as_deref()),
        Request::Entry { id } => entry(store, id),
        Request::Verify => store.verify(&|_, _| {}).map(Response::Verified).map_err(|error| explain(&error)),
        Request::PeerList
        | Request::Sync { .. }
        | Request::PeerStatus
        | Request::Trace { .. }
        | Request::Status
        | Request::Reload
        | Request::BatchWrite { .. }
        | Request::Import(_) => return None,
    };
    Some(answer.unwrap_or_else(Response::Failed))
}

fn entry(store: &Store, id: &str) -> Result<Response, String> {
    let id = MessageId::try_from(id).map_err(|bad| format!("{id}: no Message-ID: {bad}"))?;
    match store.entry(&id, Wait::Disk) {
        Ok(entry) => Ok(Response::Entry(entry.map(|entry| Box::new(EntryRow::new(&entry))))),
        Err(ReadError::Gone) => Ok(Response::Entry(None)),
        Err(error) => Err(format!("{id}: its record cannot be read: {error:?}")),
    }
}

fn group_add(
    store: &Store,
    name: &str,
    status: Option<&str>,
    description: Option<&str>,
    next: Option<u64>,
) -> Result<Response, String> {
    let checked =
        NewsgroupName::try_from(name).map_err(|bad| format!("\"{name}\" is no newsgroup name: {}", bad.0))?;
    let no_status = |text| format!("\"{text}\" is no status: y, n, m, x, j or =newsgroup");
    let status = status.map(|text| GroupStatus::parse(text).ok_or_else(|| no_status(text))).transpose()?;
    if let Some(status) = &status {
        leads_somewhere(store, name, status)?;
    }
    // RFC 3977 s.6: numbers end there; room is left to give some.
    if next.is_some_and(|next| next == 0 || next > NUMBER_MAX / 2) {
        return Err(format!("the next number is between 1 and {}", NUMBER_MAX / 2));
    }
    // LIST NEWSGROUPS has one line for each newsgroup (RFC 3977 s.7.6.6).
    if description.is_some_and(|text| text.contains(['\r', '\n', '\0'])) {
        return Err("a description is one line".to_owned());
    }
    let old = store.group(name);
    if let (Some(next), Some(high)) = (next, old.as_ref().map(|group| group.marks().high))
        && next <= high
    {
        return Err(format!("{name} has given numbers up to {high}; they only go up"));
    }
    let status_now = old.as_ref().map(|group| group.status());
    let description_now = old.as_ref().map(|group| group.description()).unwrap_or_default();
    let status_new = status.or(status_now.clone()).unwrap_or(GroupStatus::Posting);
    let description_new = description.unwrap_or(&description_now);
    let same = status_now.as_ref() == Some(&status_new) && description_new == description_now;
    if same && next.is_none() {
        return Ok(Response::Done(format!("{name} exists already")));
    }
    if !same {
        store
            .set_group(&checked, status_new, description_new, "operator")
            .map_err(|error| explain(&error))?;
    }
    if let Some(next) = next {
        store.number_from(&checked, next).map_err(|error| explain(&error))?;
    }
    Ok(Response::Done(format!("{name} {}", if old.is_some() { "changed" } else { "created" })))
}

/// Do articles for a newsgroup of this status have a place to go (RFC 6048 s.3.1)?
fn leads_somewhere(store: &Store, name: &str, status: &GroupStatus) -> Result<(), String> {
    let groups = store.groups();
    let alias = groups
        .iter()
        .find(|group| matches!(group.status(), GroupStatus::Alias(other) if other.as_str() == name));
    match status {
        GroupStatus::Junk if store.group(JUNK).is_none() => Err(format!(
            "status j needs the newsgroup {JUNK}; `feedd group add {JUNK} --no-posting` makes it"
        )),
        GroupStatus::Junk if name == JUNK => Err(format!("{JUNK} itself is filed in; give it n")),
        GroupStatus::Alias(other) if other.as_str() == name => Err(format!("{name} cannot stand for itself")),
        GroupStatus::Alias(other) => match (store.group(other.as_str()), alias) {
            (None, _) => Err(format!("there is no newsgroup {other}")),
            (Some(target), _) if matches!(target.status(), GroupStatus::Alias(_)) => {
                Err(format!("{other} is an alias itself"))
            }
            (_, Some(alias)) => Err(format!("{} is an alias of {name}", alias.name())),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn group_remove(store: &Store, name: &str) -> Result<Response, String> {
    let none = || format!("there is no newsgroup {name}");
    store.group(name).ok_or_else(none)?;
    let checked = NewsgroupName::try_from(name).map_err(|_| none())?;
    for group in store.groups().iter() {
        let needs = match group.status() {
            GroupStatus::Alias(other) => other == checked,
            GroupStatus::Junk => name == JUNK,
            _ => false,
        };
        if needs {
            return Err(format!("articles for {} are filed in {name}; change that first", group.name()));
        }
    }
    store.remove_group(&checked).map_err(|error| explain(&error))?;
    Ok(Response::Done(format!("{name} removed")))
}

fn group_list(store: &Store, wildmat: Option<&str>) -> Result<Response, String> {
    let wildmat = match wildmat {
        Some(text) => {
            Some(Wildmat::parse(text).map_err(|bad| format!("\"{text}\" is no wildmat: {}", bad.0))?)
        }
        None => None,
    };
    let groups = store.groups();
    let wanted = groups.iter().filter(|group| wildmat.as_ref().is_none_or(|w| w.matches(group.name())));
    Ok(Response::Groups(wanted.map(|group| GroupRow::new(group)).collect()))
}

/// A store's error as one line for the operator.
fn explain(error: &StoreError) -> String {
    match error {
        StoreError::Locked => "another process has the store open".to_owned(),
        StoreError::Io(path, error) => format!("{}: {error}", path.display()),
        StoreError::Corrupt(what) => format!("the store is damaged: {what}"),
        StoreError::Unavailable(why) => format!("the store takes no writes: {why}"),
        StoreError::Refused(why) => why.clone(),
    }
}
