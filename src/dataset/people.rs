//! Tenants, users and memberships of a dataset.

use std::ops::Range;
use std::sync::Arc;

use super::generate::Place;
use super::model::{Kind, MembershipModel, RoleShare};
use super::plan::FRESH;
use super::{Dataset, Membership, TableId, Tenant, TenantClass, User, Value};

impl Dataset {
    /// The tenant's own row in the tenants table is row `tenant`; this is the class it belongs to.
    pub fn class(&self, tenant: Tenant) -> TenantClass {
        match tenant {
            0 => TenantClass::Whale,
            t if t < self.tenants().div_ceil(2) => TenantClass::Middle,
            _ => TenantClass::Tail,
        }
    }

    /// Which tenant a row belongs to; `None` for tables that belong to nobody.
    pub fn tenant_of(&self, table: TableId, row: u64) -> Option<Tenant> {
        self.tenant_at(self.place(table, row))
    }

    pub(super) fn tenant_at(&self, place: Place) -> Option<Tenant> {
        let model = self.model();
        if let Some(membership) = model.membership.as_ref().filter(|m| m.table == place.table) {
            return match self.member(membership, place.row) {
                Member::Home(user) => self.tenant_of(membership.users, user),
                Member::Guest(tenant, _) => Some(tenant),
            };
        }
        let (mut table, mut row) = (place.table, Some(place.row));
        if table != model.tenants {
            row = place.parent;
            table = self.parent_table(table)?;
        }
        while table != model.tenants {
            row = self.owner(table, row?);
            table = self.parent_table(table)?;
        }
        row.filter(|row| *row < u64::from(self.tenants())).and_then(|row| Tenant::try_from(row).ok())
    }

    /// Row ranges of a tenant, never empty ones: one, or two where a membership table has guest rows or an overlay is loaded
    /// (the first range is then the one without them).
    pub fn rows_of_tenant(&self, table: TableId, tenant: Tenant) -> Vec<Range<u64>> {
        if tenant >= self.tenants() {
            return Vec::new();
        }
        let mut ranges = Vec::with_capacity(2);
        if let Some(membership) = self.model().membership.as_ref().filter(|m| m.table == table) {
            ranges.extend(self.base_range(membership.users, tenant));
            let users = self.plan_of(membership.users).map_or(0, |p| p.base);
            let guests = self.layout().guests.of_tenant(tenant);
            ranges.push(users + guests.start..users + guests.end);
        } else {
            ranges.extend(self.base_range(table, tenant));
            // Overlays belong to the whale.
            if let (0, Some(plan)) = (tenant, self.plan_of(table)) {
                ranges.push(plan.base..plan.rows);
            }
        }
        ranges.retain(|r| !r.is_empty());
        ranges
    }

    /// A tenant's rows without overlays: the tenants' rows, followed down to the table.
    fn base_range(&self, table: TableId, tenant: Tenant) -> Option<Range<u64>> {
        if table == self.model().tenants {
            return Some(u64::from(tenant)..u64::from(tenant) + 1);
        }
        let above = self.base_range(self.parent_table(table)?, tenant)?;
        let offsets = &self.plan_of(table)?.offsets;
        let at = |row: u64| offsets.get(usize::try_from(row).ok()?).copied();
        Some(at(above.start)?..at(above.end)?)
    }

    /// The users table.
    pub fn users_table(&self) -> Option<TableId> {
        self.model().membership.as_ref().map(|m| m.users)
    }

    /// Role names, strongest first.
    pub fn roles(&self) -> Vec<Arc<str>> {
        self.model().membership.iter().flat_map(|m| m.roles.iter().map(|r| r.name.clone())).collect()
    }

    /// A user by row of the users table. One past its end has no membership.
    pub fn user(&self, row: u64) -> User {
        let mut user = User { row, id: [0; 16], memberships: Vec::new() };
        let Some(membership) = &self.model().membership else { return user };
        if let Value::Uuid(id) = self.value(membership.users, row, self.key(membership.users)) {
            user.id = id;
        }
        if self.plan_of(membership.users).is_none_or(|p| row >= p.base) {
            return user;
        }
        if let Some(tenant) = self.tenant_of(membership.users, row) {
            user.memberships.push(Membership { tenant, role: self.home_role(membership, tenant, row) });
        }
        let guests = &self.layout().guests;
        let at = guests.by_user.partition_point(|(u, _)| *u < row);
        if let Some((_, index)) = guests.by_user.get(at).filter(|(u, _)| *u == row)
            && let Some((tenant, _)) = guests.list.get(*index as usize)
        {
            user.memberships.push(Membership { tenant: *tenant, role: weakest(membership) });
        }
        user
    }

    /// Rows of the users table whose membership of `tenant` has `role` (`None`: any role), in rising order.
    pub fn members(&self, tenant: Tenant, role: Option<&str>) -> Vec<u64> {
        let Some(membership) = &self.model().membership else { return Vec::new() };
        let wanted = |has: &str| role.is_none_or(|role| role == has);
        let home = self.base_range(membership.users, tenant).filter(|_| tenant < self.tenants()).unwrap_or(0..0);
        let mut users: Vec<u64> = home.filter(|user| wanted(&self.home_role(membership, tenant, *user))).collect();
        if wanted(&weakest(membership)) {
            let guests = self.layout().guests.of_tenant(tenant);
            users.extend(guests.filter_map(|i| self.layout().guests.list.get(i as usize).map(|(_, user)| *user)));
        }
        users.sort_unstable();
        users
    }

    /// Role of a user at home: by position among the tenant's users, strongest first.
    fn home_role(&self, membership: &MembershipModel, tenant: Tenant, user: u64) -> Arc<str> {
        let range = self.base_range(membership.users, tenant).unwrap_or(0..0);
        let (position, users) = (user.saturating_sub(range.start), range.end - range.start);
        let mut upto = 0;
        for role in &membership.roles {
            upto += match role.share {
                RoleShare::First(n) => n,
                RoleShare::Share(share) => libm::round(share * users as f64) as u64,
                RoleShare::Rest => users,
            };
            if position < upto {
                return role.name.clone();
            }
        }
        weakest(membership)
    }

    pub(super) fn membership_value(&self, place: Place, kind: &Kind) -> Value {
        let model = self.model();
        let Some(membership) = &model.membership else { return Value::Null };
        let member = self.member(membership, place.row);
        match kind {
            Kind::MemberUser => {
                let (Member::Home(user) | Member::Guest(_, user)) = member;
                self.value(membership.users, user, self.key(membership.users))
            }
            Kind::MemberTenant => match self.tenant_at(place) {
                Some(tenant) => self.value(model.tenants, u64::from(tenant), self.key(model.tenants)),
                None => Value::Null,
            },
            _ => Value::Text(match member {
                Member::Guest(..) => weakest(membership),
                Member::Home(user) => match self.tenant_of(membership.users, user) {
                    Some(tenant) => self.home_role(membership, tenant, user),
                    None => weakest(membership),
                },
            }),
        }
    }

    /// Whose membership a row is. Fresh rows are of some user at home.
    fn member(&self, membership: &MembershipModel, row: u64) -> Member {
        let users = self.plan_of(membership.users).map_or(0, |p| p.base);
        if row < users {
            return Member::Home(row);
        }
        match self.layout().guests.list.get(usize::try_from(row - users).unwrap_or(usize::MAX)) {
            Some((tenant, user)) => Member::Guest(*tenant, *user),
            None => Member::Home((row & (FRESH - 1)) % users.max(1)),
        }
    }
}

enum Member {
    Home(u64),
    Guest(Tenant, u64),
}

fn weakest(membership: &MembershipModel) -> Arc<str> {
    membership.roles.last().map_or_else(|| Arc::from(""), |r| r.name.clone())
}
