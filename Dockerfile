# Build:  docker build -t riskbot .
# Run:    docker run -d --name riskbot --restart=always --stop-timeout=45 \
#             --read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges \
#             -v /etc/riskbot:/etc/riskbot:ro -v riskbot-state:/var/lib/riskbot riskbot
# Ask:    docker exec riskbot python -m riskbot ctl status
# The configuration says `state_dir: /var/lib/riskbot`; secret files belong to uid 10001, mode 0600.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/riskbot
COPY requirements.lock /tmp/requirements.lock
# Wheels only: building from source would run code that no hash of ours has seen the effect of.
RUN /opt/riskbot/bin/pip install --require-hashes --only-binary=:all: --no-deps -r /tmp/requirements.lock
COPY riskbot /opt/riskbot/app/riskbot
RUN /opt/riskbot/bin/python -m compileall -q /opt/riskbot/app/riskbot

FROM python:3.11-slim
# A number, not a name: Kubernetes' runAsNonRoot can check it.
RUN groupadd --gid 10001 riskbot \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/riskbot --shell /usr/sbin/nologin riskbot \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/riskbot
COPY --from=build /opt/riskbot /opt/riskbot
ENV PATH=/opt/riskbot/bin:$PATH \
    PYTHONPATH=/opt/riskbot/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /var/lib/riskbot
VOLUME ["/var/lib/riskbot"]
# The guard itself receives it, not a shell, and has --stop-timeout seconds to put things in order.
STOPSIGNAL SIGTERM
# Over the unix socket, so that it works whatever `http.listen` says; exits 1 when no daemon answers.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "riskbot", "ctl", "--config", "/etc/riskbot/riskbot.yaml", "status", "--json"]
ENTRYPOINT ["python", "-m", "riskbot"]
CMD ["run", "--config", "/etc/riskbot/riskbot.yaml"]
