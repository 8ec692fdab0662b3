//! one line an article
use crate::agent::Reason;
use crate::article::MessageId;
/// accepted
pub fn accepted(_from: &str, _id: &MessageId, _len: usize) {}
/// rejected
pub fn rejected(_from: &str, _id: Option<&MessageId>, _reason: &Reason) {}
