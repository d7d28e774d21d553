"""A real RTSP camera: `python tests/rtsp_server.py PORT [--size WxH] [--password P]` serves rtsp://127.0.0.1:PORT/live.

H.264, 15 frames a second, a moving test picture. With a password the user is `camera`.
"""

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

RATE = 15


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--password", default="")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=arguments.port)
    server.get_mount_points().add_factory("/live", _camera(arguments.size, bool(arguments.password)))
    if arguments.password:
        _protect(server, arguments.password)
    if not server.attach(None):
        raise SystemExit(f"port {arguments.port} is taken")
    GLib.MainLoop().run()


def _camera(size: str, protected: bool) -> GstRtspServer.RTSPMediaFactory:
    width, height = size.split("x")
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(
        f"( videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate={RATE}/1 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={RATE} ! rtph264pay name=pay0 pt=96 )"
    )
    if protected:
        permissions = GstRtspServer.RTSPPermissions()
        role = Gst.Structure.new_from_string(
            "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        )
        permissions.add_role_from_structure(role)
        factory.set_permissions(permissions)
    return factory


def _protect(server: GstRtspServer.RTSPServer, password: str) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("camera", password), token)
    server.set_auth(auth)


if __name__ == "__main__":
    main()
