//! When to ask with CHECK and when to send at once (RFC 4644 s.2.1).

/// How willingly the peer takes what is offered: a decaying average over about the last 50 offers,
/// with innfeed's thresholds (`no-check-high`, `no-check-low`, `no-check-filter`). RFC 4644 s.2.1
/// allows TAKETHIS without CHECK while most articles are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Acceptance {
    percent: f64,
    straight: bool,
    asks: bool,
}

impl Acceptance {
    /// Above this, articles are sent without asking.
    const HIGH_PERCENT: f64 = 95.0;
    /// Below this, the peer is asked again.
    const LOW_PERCENT: f64 = 90.0;
    /// The time constant of the average, in offers.
    const OFFERS: f64 = 50.0;

    /// Of a peer that is always asked: 438 says that it knows an article, 439 may say that or anything else.
    pub fn asking() -> Self {
        Self { asks: true, ..Self::default() }
    }

    /// Counts the answer to one offer: was the article wanted?
    pub fn record(&mut self, wanted: bool) {
        let sample = if wanted { 100.0 } else { 0.0 };
        self.percent += (sample - self.percent) / Self::OFFERS;
        if self.percent > Self::HIGH_PERCENT {
            self.straight = true;
        } else if self.percent < Self::LOW_PERCENT {
            self.straight = false;
        }
    }

    /// Is TAKETHIS sent without CHECK?
    pub fn straight(&self) -> bool {
        self.straight && !self.asks
    }
}
