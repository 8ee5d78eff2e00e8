# The base image where there is an engine with a registry but no root or no mmdebstrap.
# `lab base` gives the arguments; the packages are the ones of images.sh.
ARG SUITE
FROM debian:${SUITE}
ARG PACKAGES
COPY finish-base /usr/local/sbin/finish-base
RUN apt-get -o Acquire::Check-Valid-Until=false update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $PACKAGES \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && finish-base "" \
    && rm /usr/local/sbin/finish-base
CMD ["bash"]
