"""The members that collaborate and compete: one file and one line each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

MEMBERS = PluginTable(
    "member",
    "shoploom.members",
    {
        "shared": "shoploom.ensemble.members.shared:Shared",
        "specialist": "shoploom.ensemble.members.specialist:Specialist",
        "popularity": "shoploom.ensemble.members.popularity:Popularity",
        "personal_frequency": "shoploom.ensemble.members.personal_frequency:PersonalFrequency",
        "decayed_frequency": "shoploom.ensemble.members.decayed_frequency:DecayedFrequency",
        "lightgbm_ranker": "shoploom.ensemble.members.lightgbm_ranker:LightgbmRanker",
        "tifu_knn": "shoploom.ensemble.members.tifu_knn:TifuKnn",
        "recent_popularity": "shoploom.ensemble.members.recent_popularity:RecentPopularity",
        "neighbours": "shoploom.ensemble.members.neighbours:SimilarCustomers",
        "up_cf": "shoploom.ensemble.members.up_cf:UpCf",
        "markov": "shoploom.ensemble.members.markov:Markov",
        "item_knn": "shoploom.ensemble.members.item_knn:ItemKnn",
        "session_knn": "shoploom.ensemble.members.session_knn:SessionKnn",
        "ease": "shoploom.ensemble.members.ease:Ease",
        "als": "shoploom.ensemble.members.als:Als",
        "content_based": "shoploom.ensemble.members.content_based:ContentBased",
        "linear_ranker": "shoploom.ensemble.members.linear_ranker:LinearRanker",
        "lightgbm_pointwise": "shoploom.ensemble.members.lightgbm_pointwise:LightgbmPointwise",
        "few_trips": "shoploom.ensemble.members.few_trips:FewTrips",
        "logistic": "shoploom.ensemble.members.logistic:Logistic",
        "lightgbm_churn": "shoploom.ensemble.members.lightgbm_churn:LightgbmChurn",
        "usual_spend": "shoploom.ensemble.members.usual_spend:UsualSpend",
        "linear_spend": "shoploom.ensemble.members.linear_spend:LinearSpend",
        "lightgbm_spend": "shoploom.ensemble.members.lightgbm_spend:LightgbmSpend",
        "majority": "shoploom.ensemble.members.majority:Majority",
        "logistic_profile": "shoploom.ensemble.members.logistic_profile:LogisticProfile",
        "lightgbm_profile": "shoploom.ensemble.members.lightgbm_profile:LightgbmProfile",
        "mean_of_8": "shoploom.ensemble.members.mean_of_8:MeanOf8",
        "linear_demand": "shoploom.ensemble.members.linear_demand:LinearDemand",
        "lightgbm_demand": "shoploom.ensemble.members.lightgbm_demand:LightgbmDemand",
        "category_back_off": "shoploom.ensemble.members.category_back_off:CategoryBackOff",
        "linear_price": "shoploom.ensemble.members.linear_price:LinearPrice",
        "nearest_titles": "shoploom.ensemble.members.nearest_titles:NearestTitles",
        "lightgbm_price": "shoploom.ensemble.members.lightgbm_price:LightgbmPrice",
        "majority_category": "shoploom.ensemble.members.majority_category:MajorityCategory",
        "linear_category": "shoploom.ensemble.members.linear_category:LinearCategory",
        "lightgbm_category": "shoploom.ensemble.members.lightgbm_category:LightgbmCategory",
    },
)
