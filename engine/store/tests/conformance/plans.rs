//! Plans and what evaluations gave.

use plue_plan::Plan;
use plue_store::plan::CachedPlans;
use serde_json::json;

use crate::support::plan;

on_each_store! {
    async fn a_plan_comes_back_byte_for_byte(world) {
        let sealed = plan("été \u{1f980}");
        assert_eq!(world.store.plans().get(&sealed.hash).await.unwrap(), None);
        world.store.plans().put(&sealed).await.unwrap();
        world.store.plans().put(&sealed).await.unwrap();
        let bytes = world.store.plans().get(&sealed.hash).await.unwrap().unwrap();
        assert_eq!(bytes, sealed.bytes);
        assert_eq!(Plan::from_json(&bytes).unwrap(), sealed.plan);
    }

    async fn what_an_evaluation_gave_is_remembered(world) {
        assert_eq!(world.store.plans().cached("k").await.unwrap(), None);
        let mut cached =
            CachedPlans { plans: vec![plan("a").hash, plan("b").hash], read_set: json!([1]) };
        world.store.plans().cache("k", &cached).await.unwrap();
        assert_eq!(world.store.plans().cached("k").await.unwrap(), Some(cached.clone()));
        cached.plans.pop();
        world.store.plans().cache("k", &cached).await.unwrap();
        assert_eq!(world.store.plans().cached("k").await.unwrap(), Some(cached));
    }

    async fn evaluations_are_kept_up_to_a_bound_the_newest_ones(world) {
        for number in 0..505_u32 {
            world.store.plans().put_evaluation(&format!("k{number}"), format!("e{number}")).await.unwrap();
        }
        world.store.plans().put_evaluation("k504", "again".to_owned()).await.unwrap();
        assert_eq!(world.store.plans().evaluation("k504").await.unwrap().as_deref(), Some("again"));
        assert_eq!(world.store.plans().evaluation("k400").await.unwrap().as_deref(), Some("e400"));
        assert_eq!(world.store.plans().evaluation("k0").await.unwrap(), None);
        assert_eq!(world.store.plans().evaluation("other").await.unwrap(), None);
    }
}
