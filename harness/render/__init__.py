"""Formats tables and figures for people."""
