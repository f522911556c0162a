# expect: ok
import json

CONFIG = json.loads('''
{"services": [{"name": "api", "port": 8080}, {"name": "web", "port": 3000, "public": true}],
 "region": "eu-central-1"}
''')


def workflow():
    services = CONFIG["services"]
    public = [s["name"] for s in services if s.get("public", False)]
    return Plan(
        name="services in " + CONFIG["region"],
        steps=[Step.bash(s["name"], "deploy {name} {port:05d}".format(**s)) for s in services]
        + [Step.bash("smoke", "smoke " + ", ".join(public), depends_on=[s["name"] for s in services])],
    )
