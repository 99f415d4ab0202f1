//! The people whose eyes the checks look through: every kind that a policy may treat differently.

use crate::dataset::{Dataset, Tenant, TenantClass};
use crate::load::bind::{Actor, Mix};

/// Someone to check with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the reader, such as `whale owner`.
    pub label: String,
    /// The tenant this is about, if any.
    pub tenant: Option<Tenant>,
    /// Who.
    pub actor: Actor,
}

/// Owners, admins and members of the whale, a middle and a tail tenant; someone with two memberships; someone with none; anon; the
/// service role. At least 12 where the dataset has as many kinds.
pub fn stratified(dataset: &Dataset) -> Vec<Identity> {
    let mut identities = Vec::new();
    for (class, tenant) in representatives(dataset) {
        for role in dataset.roles() {
            if let Some(row) = dataset.members(tenant, Some(&role)).first() {
                let user = dataset.user(*row);
                identities.push(Identity { label: format!("{class} {role}"), tenant: Some(tenant), actor: Actor::User(user) });
            }
        }
    }
    if let Some(users) = dataset.users_table() {
        let two = (0..dataset.rows(users)).map(|row| dataset.user(row)).find(|user| user.memberships.len() > 1);
        if let Some(user) = two {
            let tenant = user.memberships.first().map(|membership| membership.tenant);
            identities.push(Identity { label: "member of two tenants".to_owned(), tenant, actor: Actor::User(user) });
        }
        let mut stranger = dataset.user(0);
        stranger.id = [0xAB; 16];
        stranger.memberships.clear();
        identities.push(Identity { label: "member of no tenant".to_owned(), tenant: None, actor: Actor::User(stranger) });
    }
    identities.push(Identity { label: "anon".to_owned(), tenant: None, actor: Actor::Anon });
    identities.push(Identity { label: "service role".to_owned(), tenant: None, actor: Actor::Service });
    identities
}

/// The whale, the middle of the upper half and the middle of the lower half, as far as there are so many tenants.
pub fn representatives(dataset: &Dataset) -> Vec<(&'static str, Tenant)> {
    let middle_of = |class: TenantClass| {
        let of_class: Vec<Tenant> = (0..dataset.tenants()).filter(|tenant| dataset.class(*tenant) == class).collect();
        of_class.get(of_class.len() / 2).copied()
    };
    TenantClass::ALL.iter().filter_map(|class| middle_of(*class).map(|tenant| (class.name(), tenant))).collect()
}

/// A tenant of each class that can run the transaction; the representative one if it can.
pub fn class_tenants(mix: &Mix, able: &[u32]) -> Vec<(TenantClass, u32)> {
    let typical = representatives(mix.dataset());
    TenantClass::ALL
        .iter()
        .filter_map(|class| {
            let of_class = |tenant: &&u32| mix.dataset().class(**tenant) == *class;
            let preferred = typical.iter().map(|(_, tenant)| tenant).filter(of_class).find(|tenant| able.contains(tenant));
            preferred.or_else(|| able.iter().find(of_class)).map(|tenant| (*class, *tenant))
        })
        .collect()
}
