//! What TLS and compression cost: the measurements of feedd's own that go through them. Each has its
//! plain fellow in `measures`.

use crate::channel::Layers;
use crate::limits::LimitKind;
use crate::measures::{
    ALL, Measure, Take, idle_memory, large_by_id, over, post, small_by_id, takethis_large, takethis_small,
};

/// Of several connections, compressed or not, the sum is what counts: four keep both cores busy.
const FOUR: &[usize] = &[4];

pub const LAYERED: &[Measure] = &[
    tls("OVER rows (TLS)", ALL, over),
    tls("ARTICLE 2 KB (TLS)", ALL, small_by_id),
    tls("ARTICLE 750 KB (TLS)", ALL, large_by_id),
    tls("TAKETHIS 2 KB (TLS)", ALL, takethis_small),
    tls("TAKETHIS 750 KB (TLS)", ALL, takethis_large),
    Measure { limit: LimitKind::SyncedTurn, ..tls("POST 2 KB (TLS)", &[1, 16], post) },
    packed("OVER rows (COMPRESS)", Layers::Deflate, over),
    packed("OVER rows (TLS + COMPRESS)", Layers::Both, over),
    packed("ARTICLE 2 KB (COMPRESS)", Layers::Deflate, small_by_id),
    packed("ARTICLE 2 KB (TLS + COMPRESS)", Layers::Both, small_by_id),
    idle("idle reader (TLS)", Layers::Tls, &[1000]),
    // There may be 1024 compressed connections, and twice as many are opened.
    idle("idle reader (COMPRESS)", Layers::Deflate, &[500]),
];

const fn tls(name: &'static str, connections: &'static [usize], take: Take) -> Measure {
    Measure { name, connections, unit: "/s", limit: LimitKind::SealedLoopback, layers: Layers::Tls, take }
}

const fn packed(name: &'static str, layers: Layers, take: Take) -> Measure {
    Measure { name, connections: FOUR, unit: "/s", limit: LimitKind::None, layers, take }
}

const fn idle(name: &'static str, layers: Layers, connections: &'static [usize]) -> Measure {
    Measure { name, connections, unit: "KiB", limit: LimitKind::None, layers, take: idle_memory }
}
