//! Vectors of a clustered, low-rank mixture on the unit sphere.
//!
//! x = centre[k] + spread * (basis[k] . z) / sqrt(rank) + noise * g, then normalised; centres, basis vectors and g have length about 1.
//! Independent dimensions would make nearest neighbours meaningless, far separated clusters would make them trivial: rank, spread and
//! noise decide between these. Cluster sizes follow Zipf's law and tenants prefer a few clusters, as a company's pages do.

use std::sync::{Arc, OnceLock};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::model::VectorModel;
use super::rng::{self, Streams};

/// Clusters that a tenant prefers, as a share of all.
const PREFERRED_PER_CLUSTER: u64 = 25;

/// The mixture of one column under one seed.
#[derive(Debug)]
pub(super) struct Mixture {
    model: VectorModel,
    cumulative: Vec<f64>,
    affinity: Streams,
    geometry: Streams,
    queries: Streams,
    /// Each cluster's centre and basis, made when first needed; 16 MB for 40 clusters of rank 64 in 1536 dimensions.
    clusters: Vec<OnceLock<Box<[f32]>>>,
}

impl Mixture {
    pub fn new(model: &VectorModel, seed: u64, purpose: &str) -> Mixture {
        let stream = |what: &str| Streams::new(seed, &format!("{purpose}/{what}"));
        Mixture {
            cumulative: rng::cumulate(rng::zipf(model.clusters, model.cluster_zipf)),
            affinity: stream("affinity"),
            geometry: stream("clusters"),
            queries: stream("queries"),
            clusters: (0..model.clusters).map(|_| OnceLock::new()).collect(),
            model: model.clone(),
        }
    }

    /// A vector of the data, near what `tenant` has.
    pub fn draw(&self, rng: &mut ChaCha8Rng, tenant: u64) -> Arc<[f32]> {
        let cluster = self.cluster(rng, tenant);
        let dim = self.model.dim;
        let mut x = vec![0.0f32; dim];
        if let Some(parts) = self.clusters.get(cluster as usize) {
            let parts = parts.get_or_init(|| self.shape(cluster));
            let mut parts = parts.chunks_exact(dim);
            if let Some(centre) = parts.next() {
                x.copy_from_slice(centre);
            }
            let scale = self.model.spread / libm::sqrt(self.model.rank.max(1) as f64);
            for basis in parts {
                let z = (scale * rng::normal(rng)) as f32;
                x.iter_mut().zip(basis).for_each(|(x, b)| *x += z * b);
            }
        }
        if self.model.noise > 0.0 {
            let scale = (self.model.noise / libm::sqrt(dim as f64)) as f32;
            add_noise(rng, &mut x, scale);
        }
        normalise(&mut x);
        x.into()
    }

    /// A vector that is not in the data: the same mixture, streams of its own.
    pub fn query(&self, number: u64, tenant: u64) -> Arc<[f32]> {
        self.draw(&mut self.queries.at(number), tenant)
    }

    fn cluster(&self, rng: &mut ChaCha8Rng, tenant: u64) -> u64 {
        let own = rng::unit(rng) < self.model.tenant_affinity;
        let preferred = self.model.clusters.div_ceil(PREFERRED_PER_CLUSTER);
        if !own {
            return rng::by_weight(rng, &self.cumulative) as u64;
        }
        let nth = rng::below(rng, preferred);
        let mut taste = self.affinity.at(tenant);
        (0..=nth).map(|_| rng::by_weight(&mut taste, &self.cumulative) as u64).last().unwrap_or(0)
    }

    /// A cluster's centre, followed by its basis.
    fn shape(&self, cluster: u64) -> Box<[f32]> {
        let mut all = vec![0.0f32; self.model.dim * (1 + self.model.rank)];
        let scale = (1.0 / libm::sqrt(self.model.dim as f64)) as f32;
        add_noise(&mut self.geometry.at(cluster), &mut all, scale);
        all.into()
    }
}

/// Adds near-normal noise of the given standard deviation: the sum of four uniform 16-bit numbers has the first three moments of a
/// normal and costs no transcendental function.
fn add_noise(rng: &mut ChaCha8Rng, x: &mut [f32], deviation: f32) {
    // Variance of a sum of four uniforms on 0..65536: 4 * (65536^2 - 1) / 12.
    const UNIT: f32 = 1.0 / 37_837.227;
    let scale = deviation * UNIT;
    for x in x {
        let bits = rng.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        *x += scale * (sum as f32 - 131_070.0);
    }
}

fn normalise(x: &mut [f32]) {
    let norm = libm::sqrt(x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum());
    if norm > 0.0 {
        let inverse = (1.0 / norm) as f32;
        x.iter_mut().for_each(|x| *x *= inverse);
    } else if let Some(first) = x.first_mut() {
        *first = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture(affinity: f64) -> Mixture {
        let model = VectorModel { dim: 64, clusters: 50, rank: 8, spread: 0.4, noise: 0.2, cluster_zipf: 0.8, tenant_affinity: affinity };
        Mixture::new(&model, 7, "t.embedding")
    }

    #[test]
    fn vectors_are_unit_and_repeatable() {
        let m = mixture(0.5);
        let a = m.query(3, 1);
        let norm: f32 = a.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
        assert_eq!(a, mixture(0.5).query(3, 1));
        assert_ne!(a, m.query(4, 1));
    }

    #[test]
    fn a_tenant_is_near_to_itself() {
        let m = mixture(1.0);
        let mean = |t: u64, u: u64| -> f32 {
            let mut sum = 0.0;
            for i in 0..40 {
                let (a, b) = (m.query(i, t), m.query(1000 + i, u));
                sum += a.iter().zip(b.iter()).map(|(a, b)| a * b).sum::<f32>();
            }
            sum / 40.0
        };
        assert!(mean(3, 3) > mean(3, 9) + 0.1, "{} {}", mean(3, 3), mean(3, 9));
    }
}
