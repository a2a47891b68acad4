"""The gateway as every door has it: who asks, what is taken, how often, and what the core answers.

`tokens` and `logins` know who asks, `body` and `models` what is taken, `pace` how often, `asking`
turns it into a question to the core, `refusal` is what is answered instead. HTTP and MQTT are doors
before it; neither decides anything.
"""
