#!/bin/sh
echo "the web is well"
