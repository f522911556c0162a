//! Plans and what evaluations gave.

use plue_plan::Plan;
use plue_store::CachedPlans;
use serde_json::json;

use crate::support::plan;

on_each_store! {
    async fn a_plan_comes_back_byte_for_byte(world) {
        let sealed = plan("été \u{1f980}");
        assert_eq!(world.store.plan(&sealed.hash).await.unwrap(), None);
        world.store.put_plan(&sealed).await.unwrap();
        world.store.put_plan(&sealed).await.unwrap();
        let bytes = world.store.plan(&sealed.hash).await.unwrap().unwrap();
        assert_eq!(bytes, sealed.bytes);
        assert_eq!(Plan::from_json(&bytes).unwrap(), sealed.plan);
    }

    async fn what_an_evaluation_gave_is_remembered(world) {
        assert_eq!(world.store.cached_plans("k").await.unwrap(), None);
        let mut cached =
            CachedPlans { plans: vec![plan("a").hash, plan("b").hash], read_set: json!([1]) };
        world.store.cache_plans("k", &cached).await.unwrap();
        assert_eq!(world.store.cached_plans("k").await.unwrap(), Some(cached.clone()));
        cached.plans.pop();
        world.store.cache_plans("k", &cached).await.unwrap();
        assert_eq!(world.store.cached_plans("k").await.unwrap(), Some(cached));
    }
}
