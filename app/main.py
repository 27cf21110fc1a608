"""The name of the application for uvicorn, Docker and Ray: ``uvicorn --factory app.main:create_app``."""

from app.web.application import create_app

__all__ = ["create_app"]
