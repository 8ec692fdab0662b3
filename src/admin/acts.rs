//! The requests that a store alone can answer.

use super::protocol::{GroupRow, Request, Response, status_of_letter};
use crate::article::NewsgroupName;
use crate::store::{GroupStatus, Store, StoreError};
use crate::wildmat::Wildmat;

/// Answers what needs nothing but the store; none for a request that needs more. Waits for the disk.
pub fn from_store(store: &Store, request: &Request) -> Option<Response> {
    let answer = match request {
        Request::GroupAdd { name, status, description } => {
            group_add(store, name, *status, description.as_deref())
        }
        Request::GroupRemove { name } => group_remove(store, name),
        Request::GroupList { wildmat } => group_list(store, wildmat.as_deref()),
        Request::Verify => store.verify(&|_, _| {}).map(Response::Verified).map_err(|error| explain(&error)),
        Request::PeerList | Request::Status | Request::Reload | Request::Import { .. } => return None,
    };
    Some(answer.unwrap_or_else(Response::Failed))
}

fn group_add(
    store: &Store,
    name: &str,
    letter: Option<char>,
    description: Option<&str>,
) -> Result<Response, String> {
    let checked =
        NewsgroupName::try_from(name).map_err(|bad| format!("\"{name}\" is no newsgroup name: {}", bad.0))?;
    let status = match letter {
        Some(letter) => {
            Some(status_of_letter(letter).ok_or_else(|| format!("\"{letter}\" is no status: y, n or m"))?)
        }
        None => None,
    };
    // LIST NEWSGROUPS has one line for each newsgroup (RFC 3977 s.7.6.6).
    if description.is_some_and(|text| text.contains(['\r', '\n', '\0'])) {
        return Err("a description is one line".to_owned());
    }
    let old = store.group(name);
    let status_now = old.as_ref().map(|group| group.status());
    let description_now = old.as_ref().map(|group| group.description()).unwrap_or_default();
    let status_new = status.or(status_now).unwrap_or(GroupStatus::Posting);
    let description_new = description.unwrap_or(&description_now);
    if status_now == Some(status_new) && description_new == description_now {
        return Ok(Response::Done(format!("{name} exists already")));
    }
    store.set_group(&checked, status_new, description_new, "operator").map_err(|error| explain(&error))?;
    Ok(Response::Done(format!("{name} {}", if old.is_some() { "changed" } else { "created" })))
}

fn group_remove(store: &Store, name: &str) -> Result<Response, String> {
    let none = || format!("there is no newsgroup {name}");
    store.group(name).ok_or_else(none)?;
    let checked = NewsgroupName::try_from(name).map_err(|_| none())?;
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
