# The image of the web server, the workers and every management command.
# BASE_IMAGE is any image with Python 3.11 or newer and pip.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS packages
# Settings of pip for networks that need them. Nothing of this stage but /venv is in the finished image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
COPY requirements.txt deploy/certificates/ /build/
RUN if [ -s /build/ca.pem ]; then export PIP_CERT=/build/ca.pem; fi && \
    python3 -m venv --without-pip /venv && \
    python3 -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement /build/requirements.txt

FROM ${BASE_IMAGE}
ARG CODE_VERSION=""
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RLM_VAR_DIR=/var/lib/rlm RLM_CODE_VERSION=${CODE_VERSION} LOG_FORMAT=json
RUN echo "rlm:x:10001:10001::/var/lib/rlm:/usr/sbin/nologin" >> /etc/passwd && \
    echo "rlm:x:10001:" >> /etc/group && \
    install -d -o 10001 -g 10001 /var/lib/rlm
COPY --from=packages /venv /venv
COPY . /app
WORKDIR /app
RUN python -m compileall -q /app /venv/lib
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "rlm_runs.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--threads", "8", \
     "--access-logfile", "-", "--logger-class", "rlm_runs.observability.web_log.GunicornLogger"]
