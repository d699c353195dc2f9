import streamlit as st
from pages._shared import widgets
widgets.header("Runs","","")
